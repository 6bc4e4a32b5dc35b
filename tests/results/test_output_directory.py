"""Files appear in the output directory whole, the manifest last."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.output_directory import MANIFEST_NAME, OutputDirectory

#: Opens, but its first byte cannot be read.
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


class TestTheDirectory:
    def test_is_made_with_its_parents(self, tmp_path: Path) -> None:
        OutputDirectory(str(tmp_path / "a" / "b"))
        assert list((tmp_path / "a" / "b").iterdir()) == []

    def test_may_exist(self, out: Path) -> None:
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        OutputDirectory(str(out))
        assert (out / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("form", ["{}", "{}/", "file://{}", "file://{}/"])
    def test_is_the_same_in_every_form(self, form: str, out: Path, workshop: Path) -> None:
        uri = OutputDirectory(form.format(out)).publish("output.jsonl", source(workshop, b"rows\n"))
        assert uri == f"file://{out}/output.jsonl"
        assert (out / "output.jsonl").read_bytes() == b"rows\n"

    def test_that_is_a_file_is_refused(self, out: Path) -> None:
        out.write_text("")
        with pytest.raises(KimiInputError, match=r"cannot be written \(FileExistsError") as caught:
            OutputDirectory(str(out))
        assert "their results stay on the platform" in str(caught.value)

    @pytest.mark.parametrize("nothing", ["", " ", None])
    def test_that_is_rendered_from_nothing_is_refused(self, nothing: Any) -> None:
        with pytest.raises(KimiInputError, match="it is the URI of a directory. Nothing was landed"):
            OutputDirectory(nothing)

    def test_on_an_unknown_storage_is_refused(self) -> None:
        with pytest.raises(KimiInputError, match=r"^Output 'nope://bucket/x' cannot be written"):
            OutputDirectory("nope://bucket/x")


class TestPublish:
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(bytes(range(256)), id="any bytes"),
            pytest.param("x\u2028y\u0085z\n".encode(), id="T41: Unicode line ends"),
            pytest.param(b"x" * (1 << 20) + b"y", id="more than one chunk"),
        ],
    )
    def test_a_file_lands_byte_for_byte(self, content: bytes, out: Path, workshop: Path) -> None:
        uri = OutputDirectory(str(out)).publish("output.jsonl", source(workshop, content))
        assert uri == f"file://{out}/output.jsonl"
        assert (out / "output.jsonl").read_bytes() == content + (b"" if content[-1:] in (b"", b"\n") else b"\n")

    @pytest.mark.parametrize("copied", [False, True])
    @pytest.mark.parametrize("name", ["results.parquet", "results.csv"])
    def test_a_file_that_is_not_of_lines_gets_no_byte_more(
        self, name: str, copied: bool, out: Path, workshop: Path
    ) -> None:
        sources = [source(workshop, b"PAR1...PAR1")]
        if copied:
            (workshop / "empty").write_bytes(b"")
            sources.append(workshop / "empty")
        OutputDirectory(str(out)).publish(name, *sources)
        assert (out / name).read_bytes() == b"PAR1...PAR1"

    def test_an_older_file_is_replaced_and_nothing_else_stays(self, out: Path, workshop: Path) -> None:
        directory = OutputDirectory(str(out))
        directory.publish("output.jsonl", source(workshop, b"a long first content\n"))
        directory.publish("output.jsonl", source(workshop, b"second\n"))
        assert (out / "output.jsonl").read_bytes() == b"second\n"
        assert [path.name for path in out.iterdir()] == ["output.jsonl"]

    def test_a_reader_of_the_older_file_is_not_disturbed(self, out: Path, workshop: Path) -> None:
        directory = OutputDirectory(str(out))
        directory.publish("output.jsonl", source(workshop, b"first\n"))
        with (out / "output.jsonl").open("rb") as reader:
            directory.publish("output.jsonl", source(workshop, b"second\n"))
            assert reader.read() == b"first\n"

    def test_what_a_killed_attempt_left_behind_does_not_matter(self, out: Path, workshop: Path) -> None:
        directory = OutputDirectory(str(out))
        (out / ".output.jsonl.part").write_bytes(b"half of something longer")
        directory.publish("output.jsonl", source(workshop, b"whole\n"))
        assert (out / "output.jsonl").read_bytes() == b"whole\n"
        assert not (out / ".output.jsonl.part").exists()

    def test_a_source_that_is_missing_leaves_nothing_behind(self, out: Path, workshop: Path) -> None:
        directory = OutputDirectory(str(out))
        with pytest.raises(FileNotFoundError):
            directory.publish("output.jsonl", workshop / "absent")
        assert list(out.iterdir()) == []

    def test_a_copy_that_fails_leaves_the_older_file_and_no_hidden_one(self, out: Path, workshop: Path) -> None:
        directory = OutputDirectory(str(out))
        directory.publish("output.jsonl", source(workshop, b"first\n"))
        (out / ".output.jsonl.part").write_bytes(b"half of a killed attempt")
        with pytest.raises(FileNotFoundError):
            directory.publish("output.jsonl", workshop / "absent")
        assert (out / "output.jsonl").read_bytes() == b"first\n"
        assert [path.name for path in out.iterdir()] == ["output.jsonl"]

    @pytest.mark.skipif(not UNREADABLE.exists(), reason="only Linux has a file that opens and cannot be read")
    def test_a_copy_that_breaks_off_leaves_nothing_behind(self, out: Path) -> None:
        directory = OutputDirectory(str(out))
        with pytest.raises(OSError, match="Input/output error|Invalid argument"):
            directory.publish("output.jsonl", UNREADABLE)
        assert list(out.iterdir()) == []

    def test_on_its_own_disk_a_file_is_moved_and_not_written_again(self, out: Path, workshop: Path) -> None:
        path = source(workshop, b"content\n")
        number = path.stat().st_ino
        OutputDirectory(str(out)).publish("output.jsonl", path)
        assert ((out / "output.jsonl").stat().st_ino, path.exists()) == (number, False)

    @pytest.mark.skipif(not MEMORY_DISK.is_dir(), reason="needs a second disk")
    def test_from_another_disk_it_is_copied(self, out: Path) -> None:
        with TemporaryDirectory(dir=MEMORY_DISK) as name:
            path = source(Path(name), b"content\n")
            OutputDirectory(str(out)).publish("output.jsonl", path)
            assert path.exists()
        assert (out / "output.jsonl").read_bytes() == b"content\n"
        assert [path.name for path in out.iterdir()] == ["output.jsonl"]

    @given(contents=st.lists(CONTENT, max_size=3))
    def test_several_become_one_that_keeps_their_lines(
        self, contents: list[bytes], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("several")
        for number, content in enumerate(contents):
            (folder / str(number)).write_bytes(content)
        sources = [folder / str(number) for number in range(len(contents))]
        OutputDirectory(str(folder / "out")).publish("output.jsonl", *sources)
        assert (folder / "out" / "output.jsonl").read_bytes() == b"".join(
            content if content.endswith(b"\n") or not content else content + b"\n" for content in contents
        )


class TestTheManifestMakesTheDirectoryAResult:
    MANIFEST = Manifest(batch_ids=["batch_1"], model="名", counts={"total": 2})

    def test_it_is_readable_json_that_ends_in_a_newline(self, out: Path, workshop: Path) -> None:
        OutputDirectory(str(out)).publish_manifest(self.MANIFEST, workshop)
        content = (out / MANIFEST_NAME).read_bytes()
        assert MANIFEST_NAME == "manifest.json"
        assert json.loads(content) == self.MANIFEST.to_dict()
        assert OutputDirectory(str(out)).earlier == self.MANIFEST
        assert content.startswith(b'{\n  "schema_version": 1,\n')
        assert content.endswith(b"}\n")

    def test_withdrawn_it_is_gone_and_the_results_stay(self, out: Path, workshop: Path) -> None:
        directory = OutputDirectory(str(out))
        directory.publish("results.jsonl", source(workshop, b"rows\n"))
        directory.publish_manifest(self.MANIFEST, workshop)
        directory.withdraw()
        assert [path.name for path in out.iterdir()] == ["results.jsonl"]

    def test_named_files_go_with_it(self, out: Path, workshop: Path) -> None:
        directory = OutputDirectory(str(out))
        for name in ("output.jsonl", "error.jsonl", "dead_letter.jsonl"):
            directory.publish(name, source(workshop, b"rows\n"))
        directory.publish_manifest(self.MANIFEST, workshop)
        directory.withdraw("error.jsonl", "dead_letter.jsonl")
        assert [path.name for path in out.iterdir()] == ["output.jsonl"]

    def test_what_is_not_there_need_not_be_withdrawn(self, out: Path) -> None:
        OutputDirectory(str(out)).withdraw("error.jsonl")
        assert list(out.iterdir()) == []
