"""Whoever dies, fails or comes at the same time, the manifest of a result names files that belong together."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import combinations, count
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.staging import is_staged, name_of, staged_files
from airflow_provider_kimi.results.switch import OvertakenError, Switch
from tests.support.switching import switch_steps

Steps = Iterator[Manifest | None]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def begun(
    out: Path,
    workshop: Path,
    label: str,
    names: Sequence[str],
    directory: OutputDirectory | None = None,
    switch: Switch | None = None,
) -> Steps:
    """Begin to land a result whose files and batch all bear a label."""
    folder = workshop / f"{label}-{next(_numbers)}"
    folder.mkdir()
    files: dict[str, Sequence[Path]] = {}
    for name in names:
        (folder / name).write_text(f"{label}\n")
        files[name] = [folder / name]
    return switch_steps(directory or OutputDirectory(str(out)), files, [label], switch)


_numbers = count()

OLD = ("output.jsonl", "error.jsonl", "results.csv")
NEW = ("output.jsonl", "results.jsonl", "dead_letter.jsonl")


def whole(out: Path) -> str:
    """The label of the result that the manifest names, whose files must all bear it; empty if there is none."""
    if not (out / "manifest.json").exists():
        return ""
    manifest = Manifest.of_json((out / "manifest.json").read_bytes())
    assert manifest is not None
    (label,) = manifest.batch_ids
    assert {(out / name_of(uri)).read_text() for uri in manifest.files.values()} == {f"{label}\n"}
    return label


def finish(out: Path) -> None:
    """Do as the next landing does with what it finds: finish the switch of a landing that was killed."""
    directory = OutputDirectory(str(out))
    seen = directory.manifest_bytes()
    manifest = Manifest.of_json(seen)
    if manifest is not None and staged_files(manifest):
        list(Switch(directory, "f" * 16, seen, lambda seconds: None).settled(manifest))


def assert_tidy(out: Path, names: Sequence[str]) -> None:
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "manifest.json"])


def test_every_moment_of_a_switch_shows_the_old_result_or_the_new_one_whole(out: Path, tmp_path: Path) -> None:
    """A copy of the directory is what a process that is killed at this moment leaves behind."""
    list(begun(out, tmp_path, "old", OLD))
    shown = []
    for number, _ in enumerate(begun(out, tmp_path, "new", NEW)):
        left = tmp_path / f"left-{number}"
        copytree(out, left)
        shown.append(whole(left))
        finish(left)
        assert whole(left) == shown[-1]
        list(begun(left, tmp_path, "next", NEW))
        assert whole(left) == "next"
        assert_tidy(left, NEW)
    assert shown == sorted(shown, reverse=True), "old first, then new"
    assert {"old", "new"} == set(shown)
    assert_tidy(out, NEW)


def test_a_name_that_a_landing_was_killed_while_giving_is_removed_by_the_next_landing(
    out: Path, tmp_path: Path
) -> None:
    """Another one had overtaken it, so that nobody finishes it."""
    list(begun(out, tmp_path, "old", OLD))
    (out / ".kimi-00112233445566ff.output.jsonl.link").write_text("half")
    list(begun(out, tmp_path, "new", NEW))
    assert_tidy(out, NEW)


class Failing(OutputDirectory):
    """A storage that fails at one of its changes: before it is made, or after it."""

    def __init__(self, out: Path, at: int, *, is_done: bool) -> None:
        super().__init__(str(out))
        self._left = at
        self._is_done = is_done
        self.changes = 0

    def _change(self, change: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self.changes += 1
        self._left -= 1
        if self._left == 0 and not self._is_done:
            raise OSError("no space left")
        done = change(*given, **named)
        if self._left == 0:
            raise OSError("the answer was lost")
        return done

    def stage(self, *given: Any, **named: Any) -> str:
        return str(self._change(super().stage, *given, **named))

    def write_manifest(self, *given: Any) -> None:
        self._change(super().write_manifest, *given)

    def put(self, *given: Any) -> str:
        return str(self._change(super().put, *given))

    def remove(self, *given: Any) -> None:
        self._change(super().remove, *given)


@pytest.mark.parametrize("is_done", [False, True], ids=["refused", "its answer lost"])
def test_a_fault_at_any_change_leaves_the_old_result_or_the_new_one_whole(
    out: Path, tmp_path: Path, is_done: bool
) -> None:
    list(begun(out, tmp_path, "old", OLD))
    shown = set()
    for at in count(1):
        place = tmp_path / f"fault-{at}"
        copytree(out, place)
        directory = Failing(place, at, is_done=is_done)
        with suppress(OSError):
            list(begun(place, tmp_path, "new", NEW, directory))
        shown.add(whole(place))
        left = [path.name for path in place.iterdir() if is_staged(path.name)]
        assert whole(place) == "new" or not left, "what was staged for nothing is removed"
        list(begun(place, tmp_path, "next", NEW))
        assert_tidy(place, NEW)
        if directory.changes < at:
            break
    assert shown == {"old", "new"}


class Showing(OutputDirectory):
    """A storage that shows something else than its manifest at some of the looks at it."""

    def __init__(self, out: Path, shown: bytes, at: range) -> None:
        super().__init__(str(out))
        self._shown = shown
        self._at = at
        self.looks = 0

    def manifest_bytes(self) -> bytes:
        self.looks += 1
        return self._shown if self.looks in self._at else super().manifest_bytes()


@pytest.mark.parametrize("looks", [1, 3, 1000], ids=["once", "a while", "for good"])
@pytest.mark.parametrize("shown", ["nothing", "the former one"])
def test_a_storage_that_does_not_show_the_manifest_at_a_look_breaks_no_result(
    out: Path, tmp_path: Path, shown: str, looks: int
) -> None:
    """Such as an S3 that refuses one request, or a storage that shows a file as it was a moment ago."""
    list(begun(out, tmp_path, "old", OLD))
    before = b"" if shown == "nothing" else (out / "manifest.json").read_bytes()
    for at in count(2):  # the first look is before the landing
        place = tmp_path / f"look-{at}"
        copytree(out, place)
        directory = Showing(place, before, range(at, at + looks))
        faults = fault_of(begun(place, tmp_path, "new", NEW, directory))
        assert faults == (["retryable"] if looks == 1000 and directory.looks >= at else [])
        assert whole(place) in ("old", "new")
        list(begun(place, tmp_path, "next", NEW))
        assert_tidy(place, NEW)
        if directory.looks < at:
            break
    assert at > 5


def fault_of(steps: Steps) -> list[str]:
    """Take all steps; what they end with, if not with a result."""
    try:
        list(steps)
    except OvertakenError:
        return ["overtaken"]
    except KimiBatchError as error:
        return ["retryable" if error.retryable else "final"]
    return []


def run(steps: Steps) -> bool:
    """Take all steps that are left; whether the landing has won."""
    try:
        list(steps)
    except OvertakenError:
        return False
    return True


def test_of_two_landings_at_a_time_one_wins_whole_and_the_other_one_says_so(out: Path, tmp_path: Path) -> None:
    """Whatever the order of their steps."""
    first_steps = len(list(begun(tmp_path / "counted", tmp_path, "a", NEW)))
    outcomes = set()
    for begin, pause in combinations(range(first_steps + 1), 2):
        place = tmp_path / f"two-{begin}-{pause}"
        list(begun(place, tmp_path, "old", OLD))
        a, b = begun(place, tmp_path, "a", NEW), begun(place, tmp_path, "b", NEW)
        won = {"a": True, "b": True}
        try:
            for _ in range(begin):
                next(a)
            for _ in range(pause - begin):
                next(b)
        except OvertakenError:
            won["b"] = False
        won["a"] = run(a)
        won["b"] = won["b"] and run(b)
        outcomes.add(tuple(won.values()))
        assert sum(won.values()) == 1, (begin, pause)
        assert whole(place) == ("a" if won["a"] else "b")
        assert_tidy(place, NEW)
    assert outcomes == {(True, False), (False, True)}


def test_a_landing_that_comes_after_another_replaces_it(out: Path, tmp_path: Path) -> None:
    for label in ("a", "b"):
        assert run(begun(out, tmp_path, label, NEW))
        assert whole(out) == label


def test_a_file_that_another_landing_overwrites_is_put_again(out: Path, tmp_path: Path) -> None:
    """It looked at the manifest just before this one wrote it."""
    list(begun(out, tmp_path, "old", OLD))
    steps = begun(out, tmp_path, "new", NEW)
    for _ in steps:
        manifest = json.loads((out / "manifest.json").read_bytes())
        if manifest["batch_ids"] == ["new"] and not is_staged(name_of(manifest["results_file"])):
            break
    (out / "other").write_text("other\n")
    (out / "other").replace(out / "results.jsonl")
    list(steps)
    assert whole(out) == "new"
    assert_tidy(out, NEW)


def test_a_former_file_that_cannot_be_removed_leaves_the_new_result_whole_and_is_removed_later(
    out: Path, tmp_path: Path
) -> None:
    list(begun(out, tmp_path, "old", OLD))
    (out / "results.csv").unlink()
    (out / "results.csv").mkdir()  # which cannot be removed as a file
    switch = Switch(OutputDirectory(str(out)), "f" * 16, (out / "manifest.json").read_bytes(), lambda seconds: None)
    *_, last = begun(out, tmp_path, "new", NEW, switch=switch)
    assert whole(out) == "new"
    assert last is not None
    assert switch.unremoved == last.former_files == ["results.csv"]
    assert not (out / "error.jsonl").exists(), "one that can be removed is"
    (out / "results.csv").rmdir()
    (out / "results.csv").write_text("old\n")
    list(begun(out, tmp_path, "next", NEW))
    assert whole(out) == "next"
    assert_tidy(out, NEW)


class Keeping(OutputDirectory):
    """A storage that refuses to delete."""

    def remove(self, names: Iterable[str]) -> None:
        if list(names):
            raise PermissionError("Access Denied")


def test_a_storage_that_refuses_to_delete_gets_new_results_all_the_same(out: Path, tmp_path: Path) -> None:
    list(begun(out, tmp_path, "old", OLD))
    for label in ("new", "newer"):
        list(begun(out, tmp_path, label, NEW, Keeping(str(out))))
        assert whole(out) == label
    list(begun(out, tmp_path, "next", NEW))
    assert_tidy(out, NEW)


def test_a_landing_that_was_overtaken_says_so_although_its_files_cannot_be_removed(out: Path, tmp_path: Path) -> None:
    list(begun(out, tmp_path, "old", OLD))
    steps = begun(out, tmp_path, "new", NEW, Keeping(str(out)))
    next(steps)
    list(begun(out, tmp_path, "other", NEW))
    with pytest.raises(OvertakenError):
        list(steps)
