"""Files appear in the output directory whole, the manifest last."""

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.results.output_directory import OutputDirectory
from tests.support.switching import publish

#: A file that opens, but whose first byte cannot be read.
UNREADABLE = Path("/proc/self/mem")

#: Another disk than that of temporary files.
MEMORY_DISK = Path("/dev/shm")

CONTENT = st.lists(st.sampled_from([b"row", "x\u2028y".encode(), b"\n", b"\r\n"])).map(b"".join)


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    path = tmp_path / "workshop"
    path.mkdir()
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def source(workshop: Path, content: bytes) -> Path:
    path = workshop / "source"
    path.write_bytes(content)
    return path


def test_the_output_directory_is_created_with_its_parents(tmp_path: Path) -> None:
    OutputDirectory(str(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_an_output_directory_that_exists_keeps_its_files(out: Path) -> None:
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    OutputDirectory(str(out))
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}", "file://{}/"])
def test_the_output_directory_may_be_a_path_or_a_uri(form: str, out: Path) -> None:
    manifest = publish(form.format(out), output_jsonl=b"rows\n")
    assert manifest.output_file == f"file://{out}/output.jsonl"
    assert (out / "output.jsonl").read_bytes() == b"rows\n"


def test_an_output_directory_that_is_a_file_is_refused(out: Path) -> None:
    out.write_text("")
    with pytest.raises(KimiInputError, match=r"cannot be written \(FileExistsError") as caught:
        OutputDirectory(str(out))
    assert "The results of the batches stay on the platform" in str(caught.value)


@pytest.mark.parametrize("nothing", ["", " ", None], ids=repr)
def test_an_empty_output_directory_is_refused(nothing: Any) -> None:
    with pytest.raises(KimiInputError, match="it must be the URI of a directory. Nothing was landed"):
        OutputDirectory(nothing)


def test_an_output_directory_on_an_unknown_storage_is_refused() -> None:
    with pytest.raises(KimiInputError, match=r"^Output 'nope://bucket/x' cannot be written"):
        OutputDirectory("nope://bucket/x")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(range(256)), id="any bytes"),
        pytest.param("x\u2028y\u0085z\n".encode(), id="Unicode line ends"),
        pytest.param(b"x" * (1 << 20) + b"y", id="more than one chunk"),
    ],
)
def test_a_published_file_is_landed_byte_for_byte(content: bytes, out: Path) -> None:
    publish(out, output_jsonl=content)
    assert (out / "output.jsonl").read_bytes() == content + (b"" if content[-1:] in (b"", b"\n") else b"\n")


@pytest.mark.parametrize("copied", [False, True], ids=["moved", "copied"])
@pytest.mark.parametrize("name", ["results.parquet", "results.csv"])
def test_a_published_file_that_is_not_of_lines_gets_no_newline(
    name: str, copied: bool, out: Path, workshop: Path
) -> None:
    sources = [source(workshop, b"PAR1...PAR1")]
    if copied:
        (workshop / "empty").write_bytes(b"")
        sources.append(workshop / "empty")
    publish(out, **{name.replace(".", "_"): sources})
    assert (out / name).read_bytes() == b"PAR1...PAR1"


def test_a_published_file_replaces_the_older_one(out: Path) -> None:
    publish(out, output_jsonl=b"a long first content\n")
    publish(out, output_jsonl=b"second\n")
    assert (out / "output.jsonl").read_bytes() == b"second\n"
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "output.jsonl"]


def test_a_reader_of_the_older_file_can_read_on(out: Path) -> None:
    publish(out, output_jsonl=b"first\n")
    with (out / "output.jsonl").open("rb") as reader:
        publish(out, output_jsonl=b"second\n")
        assert reader.read() == b"first\n"


def test_a_copy_that_fails_keeps_the_older_result_and_leaves_no_hidden_file(out: Path, workshop: Path) -> None:
    publish(out, output_jsonl=b"first\n")
    for broken in (workshop / "absent", *([UNREADABLE] if UNREADABLE.exists() else [])):
        with pytest.raises(OSError, match="No such file|Input/output error|Invalid argument"):
            publish(out, output_jsonl=[broken])
    assert (out / "output.jsonl").read_bytes() == b"first\n"
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "output.jsonl"]


def test_a_file_on_the_same_disk_is_moved(out: Path, workshop: Path) -> None:
    path = source(workshop, b"content\n")
    number = path.stat().st_ino
    publish(out, output_jsonl=[path])
    assert ((out / "output.jsonl").stat().st_ino, path.exists()) == (number, False)


@pytest.mark.skipif(not MEMORY_DISK.is_dir(), reason="needs a second disk")
def test_a_file_on_another_disk_is_copied(out: Path) -> None:
    with TemporaryDirectory(dir=MEMORY_DISK) as name:
        path = source(Path(name), b"content\n")
        publish(out, output_jsonl=[path])
        assert path.exists()
    assert (out / "output.jsonl").read_bytes() == b"content\n"
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "output.jsonl"]


@given(contents=st.lists(CONTENT, max_size=3))
def test_several_files_are_published_as_one_with_all_their_lines(
    contents: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("several")
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content)
    sources = [folder / str(number) for number in range(len(contents))]
    publish(folder / "out", output_jsonl=sources)
    assert (folder / "out" / "output.jsonl").read_bytes() == b"".join(
        content if content.endswith(b"\n") or not content else content + b"\n" for content in contents
    )


def test_the_manifest_is_readable_json_that_ends_in_a_newline(out: Path) -> None:
    manifest = publish(out, output_jsonl=b"x\n")
    content = (out / "manifest.json").read_bytes()
    assert json.loads(content) == manifest.to_dict()
    assert OutputDirectory(str(out)).earlier == manifest
    assert content.startswith(b'{\n  "schema_version": 1,\n')
    assert content.endswith(b"}\n")


RESULT_NAMES = ("output.jsonl", "results.jsonl", "manifest.json")


@pytest.mark.parametrize("name", RESULT_NAMES)
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_not_of_a_result_of_ours_is_left_as_it_is(name: str, kind: str, out: Path) -> None:
    out.mkdir()
    if kind == "directory":
        (out / name).mkdir()
        (out / name / "inside").write_bytes(b"{}")
    else:
        (out / name).write_bytes(b'{"metadata": {"dbt_version": "1.9"}}')
    with pytest.raises(KimiInputError, match=f"{kind} {name}, which no result of this provider lists|IsADirectory"):
        OutputDirectory(str(out)).check_free(RESULT_NAMES)
    assert [path.name for path in out.iterdir()] == [name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_manifest_that_may_not_be_read_is_not_taken_for_none(out: Path) -> None:
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    for folder in list(out.parents)[:3]:
        folder.chmod(0o755)
    (out / "manifest.json").write_bytes(b'{"metadata": {"dbt_version": "1.9"}}')
    (out / "manifest.json").chmod(0o600)
    with suppress(KimiInputError):
        OutputDirectory(str(out)).check_free(RESULT_NAMES)  # loads the file system as root, whose files these may be
    os.seteuid(65534)
    try:
        with pytest.raises(KimiInputError, match="file manifest.json, which no result of this provider lists"):
            OutputDirectory(str(out)).check_free(RESULT_NAMES)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("content", [b"", None], ids=["an empty file", "a link to nothing"])
def test_an_empty_manifest_is_none(out: Path, content: bytes | None) -> None:
    out.mkdir()
    if content is None:
        (out / "manifest.json").symlink_to(out / "nowhere")
    else:
        (out / "manifest.json").write_bytes(content)
    OutputDirectory(str(out)).check_free(RESULT_NAMES)


def test_a_foreign_file_beside_a_result_is_not_touched(out: Path) -> None:
    publish(out, output_jsonl=b"x\n")
    (out / "error.jsonl").write_bytes(b"mine")
    directory = OutputDirectory(str(out))
    directory.check_free(RESULT_NAMES)
    with pytest.raises(KimiInputError, match=r"the file error.jsonl"):
        directory.check_free([*RESULT_NAMES, "error.jsonl"])
    publish(out, results_jsonl=b"y\n")
    assert (out / "error.jsonl").read_bytes() == b"mine"
    assert sorted(path.name for path in out.iterdir()) == ["error.jsonl", "manifest.json", "results.jsonl"]
