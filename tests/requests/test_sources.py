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
    ("name", "kind", "packing"),
    [
        *(("in.jsonl", "jsonl", None), ("in.jsonl.gz", "jsonl", "gzip"), ("in.csv", "csv", None)),
        *(("in.csv.gz", "csv", "gzip"), ("in.parquet", "parquet", None), ("a.csv.jsonl", "jsonl", None)),
        *(("in.ndjson", "jsonl", None), ("in.json", "json", None), ("in.tsv", "tsv", None), (".CSV", "csv", None)),
        *(("in.tsv.zst", "tsv", "zstd"), ("in.json.gz", "json", "gzip"), ("IN.JSONL.GZ", "jsonl", "gzip")),
        *(("in.Parquet", "parquet", None), ("in.NDJSON.Zst", "jsonl", "zstd")),
    ],
)
def test_a_single_file_is_recognised_by_its_ending(name: str, kind: str, packing: str | None, tmp_path: Path) -> None:
    make(tmp_path, name)
    for uri in (str(tmp_path / name), f"file://{tmp_path / name}"):
        (file,) = find_files(uri)
        assert (file.kind, file.packing, file.uri) == (kind, packing, uri)


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


@pytest.mark.parametrize(
    "name", ["in.xml", "in.txt", "in", "in.jsonl.zip", "in.parquet.gz", "in.PARQUET.ZST", "in.gz", "jsonl"]
)
def test_a_file_of_an_unknown_ending_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    make(tmp_path, name)
    message = problem_of(tmp_path / name)
    assert (
        "ends in none of .jsonl, .ndjson, .json, .csv, .tsv (each of them also with .gz or .zst), .parquet" in message
    )
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


@pytest.mark.parametrize("beside", ["a.jsonl", "parts/a.jsonl", "=/a.jsonl"])
def test_a_directory_with_another_one_in_it_is_refused_because_its_rows_would_be_left_out(
    beside: str, tmp_path: Path
) -> None:
    make(tmp_path, beside, "month/b.jsonl")
    message = problem_of(tmp_path)
    assert " in it, which would not be read. Nothing was sent. " in message
    assert "'.../**/*.jsonl' for all below as well." in message


def partitions_of(uri: str | Path) -> list[tuple[str, dict[str, str | None]]]:
    return [(file.path.name, dict(file.partitions)) for file in find_files(str(uri))]


def test_a_directory_of_partitions_is_read_through_them_and_their_names_are_columns(tmp_path: Path) -> None:
    make(tmp_path, "day=2026-01-02/c.jsonl", "day=2026-01-01/a.jsonl", "day=2026-01-01/b.jsonl", "_SUCCESS")
    days = ["2026-01-01", "2026-01-01", "2026-01-02"]
    wanted = [(f"{name}.jsonl", {"day": day}) for name, day in zip("abc", days, strict=True)]
    assert partitions_of(tmp_path) == partitions_of(f"{tmp_path}/") == wanted
    assert partitions_of(tmp_path / "*" / "*.jsonl") == partitions_of(tmp_path / "**" / "*.jsonl") == wanted
    assert [item.value for item in Input(str(tmp_path))] == [{"a": 1, "day": day} for day in days]


@pytest.mark.parametrize("pattern", ["day=2026-01-*", "day=2026-01-*/", "day=2026-01-*/hour=*", "day=2026-01-*/**"])
def test_a_pattern_of_nothing_but_directories_means_what_is_in_them(pattern: str, tmp_path: Path) -> None:
    make(tmp_path, "day=2026-01-02/hour=1/b.jsonl", "day=2026-01-01/hour=2/a.jsonl", "day=2026-02-01/hour=3/c.jsonl")
    assert partitions_of(f"{tmp_path}/{pattern}") == [
        ("a.jsonl", {"day": "2026-01-01", "hour": "2"}),
        ("b.jsonl", {"day": "2026-01-02", "hour": "1"}),
    ]


def test_a_pattern_of_nothing_but_directories_does_not_leave_out_what_lies_deeper(tmp_path: Path) -> None:
    make(tmp_path, "day=1/a.jsonl", "day=1/more/b.jsonl")
    assert "has the directory 'more' in it, which would not be read." in problem_of(tmp_path / "day=*")


def test_partitions_may_lie_in_others_and_have_any_name_and_value(tmp_path: Path) -> None:
    make(tmp_path, "shop=a%2Fb/day=2026-01-01 10%3A00/x.jsonl", "shop=c=d/day=__HIVE_DEFAULT_PARTITION__/x.jsonl")
    assert partitions_of(tmp_path) == [
        ("x.jsonl", {"shop": "a/b", "day": "2026-01-01 10:00"}),
        ("x.jsonl", {"shop": "c=d", "day": None}),
    ]


def test_directories_above_an_input_and_names_of_files_hold_no_columns(tmp_path: Path) -> None:
    make(tmp_path, "run=1/day=2/x=y.jsonl", "run=1/day=2/plain/z.jsonl")
    base = tmp_path / "run=1" / "day=2"
    assert partitions_of(base / "x=y.jsonl") == partitions_of(base / "*.jsonl") == [("x=y.jsonl", {})]
    assert partitions_of(base / "**" / "z.jsonl") == [("z.jsonl", {})]


def test_a_partition_that_a_row_has_too_with_another_value_is_a_problem_of_the_row(tmp_path: Path) -> None:
    make(tmp_path, "a=1/x.jsonl")
    (tmp_path / "a=1" / "x.jsonl").write_bytes(b'{"a": 1, "b": 2}\n{"a": "1"}\n{"a": 2}\nno JSON\n')
    same, text, other, broken = Input(str(tmp_path))
    assert (same.value, text.value) == ({"a": 1, "b": 2}, {"a": "1"})
    assert other.problem == "has another value in column 'a' than the name of its directory"
    assert "is not valid JSON" in str(broken.problem)


def test_a_file_in_two_partitions_of_one_column_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "day=1/day=2/x.jsonl")
    with pytest.raises(KimiInputError, match=r"x\.jsonl' is in two directories of the column 'day'\. Nothing was sent"):
        find_files(str(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**/*.jsonl", ["a/b/c/deep.jsonl", "a/mid.jsonl", "other/b/side.jsonl", "top.jsonl"]),
        ("**", ["a/b/c/deep.jsonl", "a/mid.jsonl", "other/b/note.csv", "other/b/side.jsonl", "top.jsonl"]),
        ("a/**/*.jsonl", ["a/b/c/deep.jsonl", "a/mid.jsonl"]),
        ("**/b/**/*.jsonl", ["a/b/c/deep.jsonl", "other/b/side.jsonl"]),
        ("**/**/mid.jsonl", ["a/mid.jsonl"]),
        ("**/b/*", ["other/b/note.csv", "other/b/side.jsonl"]),
        ("a/b**/*/*.jsonl", ["a/b/c/deep.jsonl"]),
    ],
)
def test_two_stars_mean_directories_of_any_depth_and_none(pattern: str, names: list[str], tmp_path: Path) -> None:
    make(tmp_path, "top.jsonl", "a/mid.jsonl", "a/b/c/deep.jsonl", "other/b/side.jsonl", "other/b/note.csv")
    make(tmp_path, "_tmp/x.jsonl", "a/.git/x.jsonl", "a/b/_x.jsonl")
    assert [file.uri.removeprefix(f"file://{tmp_path}/") for file in find_files(f"{tmp_path}/{pattern}")] == names


def test_two_stars_do_not_follow_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    make(tmp_path, "a/x.jsonl")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert names_of(tmp_path / "**" / "*.jsonl") == ["x.jsonl"]


def test_two_stars_that_find_nothing_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "a/b/_x.jsonl")
    assert "has no files in it. Nothing was sent." in problem_of(tmp_path / "**" / "*.jsonl")


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
