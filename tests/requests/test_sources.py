"""Which files an input means, and what is said where there are none."""

from pathlib import Path

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import located
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.sources import find_files

ENDINGS = ("jsonl", "jsonl.gz", "csv", "csv.gz", "parquet")


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'{"a": 1}\n')


def names_of(uri: str | Path) -> list[str]:
    return [file.path.name for file in find_files(str(uri))]


def problem_of(uri: str | Path) -> str:
    with pytest.raises(KimiInputError) as caught:
        list(Input(str(uri)))
    assert str(caught.value).startswith(f"Input {str(uri)[:200]!r} ")
    assert " Nothing was sent. " in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind", "compressed"),
    [
        *(("in.jsonl", "jsonl", False), ("in.jsonl.gz", "jsonl", True), ("in.csv", "csv", False)),
        *(("in.csv.gz", "csv", True), ("in.parquet", "parquet", False), ("a.csv.jsonl", "jsonl", False)),
    ],
)
def test_a_single_file_is_recognised_by_its_ending(name: str, kind: str, compressed: bool, tmp_path: Path) -> None:
    make(tmp_path, name)
    for uri in (str(tmp_path / name), f"file://{tmp_path / name}"):
        (file,) = find_files(uri)
        assert (file.kind, file.compressed, file.uri) == (kind, compressed, uri)


@pytest.mark.parametrize(
    "name", ["a b.jsonl", "a#b.jsonl", "a?b.jsonl", "a*.jsonl", "a%41.jsonl", "a[1].jsonl", "[a].jsonl", "名.jsonl"]
)
def test_a_single_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    make(tmp_path, name, "a1.jsonl", "axb.jsonl", "a.jsonl")
    assert names_of(tmp_path / name) == names_of(f"file://{tmp_path / name}") == [name]


def test_a_hidden_file_may_be_named(tmp_path: Path) -> None:
    make(tmp_path, "_in.jsonl")
    assert names_of(tmp_path / "_in.jsonl") == ["_in.jsonl"]


@pytest.mark.parametrize("name", [f"absent.{ending}" for ending in ENDINGS])
def test_a_file_that_does_not_exist_is_refused_as_missing(name: str, tmp_path: Path) -> None:
    assert "does not exist. Nothing was sent. Check the path" in problem_of(tmp_path / name)


@pytest.mark.parametrize("name", ["in.json", "in.txt", "in", "in.JSONL", "in.jsonl.zip", "in.parquet.gz", "jsonl"])
def test_a_file_of_an_unknown_ending_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    make(tmp_path, name)
    message = problem_of(tmp_path / name)
    assert "ends in none of .jsonl, .jsonl.gz, .csv, .csv.gz, .parquet" in message
    assert message.endswith("a single prompt is given as a list.")


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "file")
    assert "cannot be opened (NotADirectoryError" in problem_of(tmp_path / "file" / "in.jsonl")


def test_a_directory_means_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    make(tmp_path, "part-2.jsonl", "part-10.csv", "part-1.jsonl.gz")
    assert names_of(tmp_path) == names_of(f"{tmp_path}/") == ["part-1.jsonl.gz", "part-10.csv", "part-2.jsonl"]


def test_a_directory_does_not_mean_hidden_files(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "_SUCCESS", ".a.jsonl.crc", "_temporary/d.jsonl")
    assert names_of(tmp_path) == ["a.jsonl"]


def test_a_directory_with_another_one_in_it_is_refused_because_its_rows_would_be_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "month=02/b.jsonl")
    assert "has the directory 'month=02' in it, which would not be read. Nothing was sent." in problem_of(tmp_path)


@pytest.mark.parametrize("name", ["data.parquet", "data[1]", "data*", "data 1", ".data"])
def test_a_directory_may_have_any_name(name: str, tmp_path: Path) -> None:
    """`data.parquet/` is what Spark writes."""
    make(tmp_path, f"{name}/part-0.jsonl", f"{name}/_SUCCESS", "data1/other.jsonl")
    assert names_of(tmp_path / name) == names_of(f"{tmp_path / name}/") == ["part-0.jsonl"]


def test_a_directory_with_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Better than to leave out what somebody meant."""
    make(tmp_path, "a.jsonl", "readme.txt")
    with pytest.raises(KimiInputError, match=r"readme\.txt' ends in none of"):
        find_files(str(tmp_path))


def test_a_directory_without_files_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "_SUCCESS", "_sub/a.jsonl")
    assert "has no files in it. Nothing was sent." in problem_of(tmp_path)


def test_a_directory_is_one_input_whose_rows_are_named_with_their_file(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b'{"a": 2}\n{"a": 3}\n')
    source = Input(str(tmp_path))
    assert [item.value["a"] for item in source] == [1, 2, 3]
    assert source.place(1).startswith("line 1 of ")
    assert source.place(1).endswith("/a.jsonl")
    assert source.place(3).startswith("line 2 of ")
    assert source.place(3).endswith("/b.jsonl")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.jsonl", ["a1.jsonl", "a2.jsonl", "b1.jsonl"]),
        ("a?.jsonl", ["a1.jsonl", "a2.jsonl"]),
        ("[b-z]1.*", ["b1.csv", "b1.jsonl"]),
        ("*", ["a1.jsonl", "a2.jsonl", "b1.csv", "b1.jsonl"]),
    ],
)
def test_a_pattern_means_the_files_whose_names_fit(pattern: str, names: list[str], tmp_path: Path) -> None:
    make(tmp_path, "b1.jsonl", "a2.jsonl", "a1.jsonl", "b1.csv", "_a1.jsonl", ".a1.jsonl", "c.jsonl/d.jsonl")
    assert names_of(tmp_path / pattern) == names_of(f"file://{tmp_path}/{pattern}") == names


def test_a_pattern_may_stand_in_a_directory_whose_name_looks_like_one(tmp_path: Path) -> None:
    make(tmp_path, "data[1]/a.jsonl", "data1/b.jsonl")
    assert names_of(tmp_path / "data[1]" / "*.jsonl") == ["a.jsonl"]


def test_a_pattern_that_fits_no_file_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl")
    assert "has no files in it. Nothing was sent." in problem_of(tmp_path / "*.csv")


def test_a_pattern_in_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    problem_of(tmp_path / "absent" / "*.csv")


@pytest.mark.parametrize("prompt", ["Is the sky blue?", "Which of [a, b]", "*Name* a colour", "Name a colour. " * 99])
def test_a_single_prompt_as_a_uri_is_refused_with_the_advice_to_give_a_list(prompt: str) -> None:
    assert "single prompt is given as a list." in problem_of(prompt)


@pytest.mark.parametrize("uri", ["", " "])
def test_an_empty_uri_does_not_mean_the_directory_of_the_worker(uri: str) -> None:
    """A template that renders to nothing."""
    assert "is empty. Nothing was sent. Check what it is rendered from." in problem_of(uri)


@pytest.mark.parametrize("uri", ["gs://bucket/in.jsonl", "gs://bucket/data/", "nope://in.jsonl", "gs://bucket/*.csv"])
def test_a_storage_without_its_provider_is_named(uri: str) -> None:
    message = problem_of(uri)
    assert "cannot be opened (" in message
    assert message.endswith("the Airflow provider of this storage must be installed.")


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("/data/in.csv", "file:///data/in.csv"),
        ("s3://bucket/in.csv", "s3://bucket/in.csv"),
        ("in.csv", f"file://{Path.cwd()}/in.csv"),
    ],
)
def test_a_bare_path_is_a_file(uri: str, location: str) -> None:
    assert located(uri) == location


def test_a_wildcard_may_stand_for_a_directory_that_is_not_hidden(tmp_path: Path) -> None:
    make(tmp_path, "in/_temporary/a.jsonl", "in/.snapshot/a.jsonl", "in/x/a.jsonl")
    assert [file.uri.split("/")[-2] for file in find_files(str(tmp_path / "in" / "*" / "*.jsonl"))] == ["x"]
    for day in ("2026-11-01", "2026-11-02", "2026-12-01"):
        (tmp_path / "in" / day / "part").mkdir(parents=True)
        (tmp_path / "in" / day / "part" / "a.jsonl").touch()
    found = [file.uri for file in find_files(str(tmp_path / "in" / "2026-11-*" / "part" / "*.jsonl"))]
    assert [uri.split("/")[-3] for uri in found] == ["2026-11-01", "2026-11-02"]
