"""ARCHITECTURE.md lists every shape that outlives a process, with a stored sample of each."""

import re

from tests.architecture.modules import PACKAGE

ROOT = PACKAGE.parent
SECTION = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## What outlives a process")[2]
LISTED = SECTION.partition("\n## ")[0]
NAMED = set(re.findall(r"`([^`]+)`", LISTED))

#: Directories of stored samples.
SAMPLES = ("samples", "deferrals")


def test_every_module_of_records_is_in_the_list() -> None:
    modules = {f"records/{path.name}" for path in (PACKAGE / "records").glob("*.py")}
    assert modules - NAMED == {"records/__init__.py"}


def test_every_stored_sample_is_in_the_list() -> None:
    stored = [path for folder in SAMPLES for path in (ROOT / "tests" / "records" / folder).iterdir()]
    kept = list((ROOT / "tests" / "records" / "kept").iterdir())
    assert {path.relative_to(ROOT).as_posix() for path in (*stored, *kept)} <= NAMED


def test_every_row_of_the_list_names_a_sample_that_is_there() -> None:
    rows = [row for row in LISTED.splitlines() if row.startswith("| ")][1:]
    for row in rows:
        paths = re.findall(r"`(tests/[^`]+)`", row.split(" | ")[-1])
        assert paths, row
        assert [path for path in paths if not (ROOT / path).exists()] == [], row
