"""Commit subjects are short enough for every list that shows them."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SINCE = "2026-11-29T23:03:00Z"
MAX_SUBJECT = 72


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
def test_a_commit_subject_has_at_most_72_characters() -> None:
    log = subprocess.run(
        ["git", "log", f"--since={SINCE}", "--no-merges", "--format=%s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [subject for subject in log.stdout.splitlines() if len(subject) > MAX_SUBJECT] == []
