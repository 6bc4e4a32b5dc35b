"""KimiPurgeCacheOperator deletes what is old, and only in a cache."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.cache.segments import staged_name
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.operators.cache import KimiPurgeCacheOperator
from tests.support.caches import make_older
from tests.support.tasks import run_task


def purge(cache: Any, **parameters: Any) -> dict[str, int]:
    task = KimiPurgeCacheOperator(task_id="purge", cache=cache, **parameters)
    return dict(run_task(task, day="2026-11-30").value)


def keep(place: Path, name: str, answers: int) -> None:
    cache = AnswerCache(str(place))
    with cache.writer(name) as kept:
        for number in range(answers):
            kept.add(number.to_bytes(16, "big"), b'"positive"')
    cache.note_hits(name, 10 * answers)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A cache with 3 answers of a year ago, 2 of now, and a file of somebody else."""
    folder = tmp_path / "cache"
    keep(folder, "old", 3)
    make_older(folder, timedelta(days=365))
    keep(folder, "new", 2)
    (folder / "notes.txt").write_text("mine")
    return folder


def bytes_of(place: Path, kind: str) -> int:
    return sum(path.stat().st_size for path in place.iterdir() if path.name.startswith(kind))


def test_it_deletes_what_is_older_and_says_what_is_left(place: Path) -> None:
    before = bytes_of(place, "answers") + bytes_of(place, "hits")
    done = purge(str(place), older_than=timedelta(days=30))
    after = bytes_of(place, "answers") + bytes_of(place, "hits")
    assert done == {
        **{"entries": 2, "bytes": after, "hits": 20},
        **{"removed_entries": 3, "removed_bytes": before - after},
    }
    assert len(list(place.iterdir())) == 3
    assert purge(str(place), older_than=timedelta(days=30)) == {**done, "removed_entries": 0, "removed_bytes": 0}


def test_a_dry_run_returns_the_same_and_deletes_nothing(place: Path) -> None:
    names = sorted(os.listdir(place))
    told = purge(str(place), older_than=30 * 86400, dry_run=True)
    assert sorted(os.listdir(place)) == names
    assert purge(str(place), older_than=30 * 86400) == told


def test_zero_deletes_everything_that_is_of_the_cache(place: Path) -> None:
    done = purge(place, older_than=0)
    assert (done["entries"], done["bytes"], done["hits"], done["removed_entries"]) == (0, 0, 0, 5)
    assert os.listdir(place) == ["notes.txt"]


def test_the_cache_may_be_a_template(tmp_path: Path) -> None:
    keep(tmp_path / "2026-11-30", "a", 2)
    assert purge(str(tmp_path / "{{ day }}"), older_than=0)["removed_entries"] == 2


def test_what_a_killed_writer_has_left_is_deleted_after_a_day(place: Path) -> None:
    (place / ".kimi-cache-20261101T000000Z-0123456789abcdef").write_bytes(b'{"d":"')
    being_written = staged_name(datetime.now(UTC), "0123456789abcdef")
    (place / being_written).write_bytes(b'{"d":"')
    purge(str(place), older_than=0)
    assert sorted(os.listdir(place)) == [being_written, "notes.txt"]


@pytest.mark.parametrize("cache", ["", " ", "None", "{{ nothing }}"])
def test_a_cache_without_a_name_is_refused(cache: str) -> None:
    with pytest.raises(AirflowFailException, match="cache is .*it must be the URI of a directory. Nothing was sent"):
        purge(cache, older_than=0)


def test_a_password_in_the_location_is_refused_while_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match=r"^cache holds a name and a password"):
        KimiPurgeCacheOperator(task_id="purge", cache="s3://KEY:SECRET@bucket/cache", older_than=0)
