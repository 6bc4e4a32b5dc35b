"""A cache on S3 works as on a disk, and faults come with a remedy."""

import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.cache.segments import SegmentName
from airflow_provider_kimi.cache.store import AnswerCache, CacheCounts, Found
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.operators.cache import KimiPurgeCacheOperator
from tests.crash.s3_gate import Gate, gate_before
from tests.support.s3 import Storage
from tests.support.tasks import run_task

A, B = b"a" * 16, b"b" * 16


def keep(uri: str, name: str, *answers: tuple[bytes, bytes]) -> None:
    with AnswerCache(uri).writer(name) as kept:
        for answer in answers:
            kept.add(*answer)


def found(uri: str, max_age: timedelta | None = None) -> list[Found]:
    return list(AnswerCache(uri, max_age).find(lambda digest: True))


def make_older(s3: Storage, age: timedelta) -> None:
    for key in s3.keys():  # noqa: SIM118  # it is no dict
        name = key.rpartition("/")[2]
        if (segment := SegmentName.of(name)) is not None:
            s3.put(key.removesuffix(name) + str(segment._replace(time=segment.time - age)), s3.get(key))
            s3.delete(key)


@pytest.fixture
def gated(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Storage, Gate]]:
    """A bucket behind a gate, at which requests meet their fate."""
    with gate_before(s3_endpoint) as gate:
        storage = Storage(gate.url, uuid4().hex)
        monkeypatch.setenv(f"AIRFLOW_CONN_{storage.conn_id.upper()}", json.dumps(storage.connection))
        yield storage, gate


@pytest.mark.parametrize("place", ["cache", "cache/", "a/b [1]?/c", ""])
def test_answers_are_found_on_s3_as_on_a_disk(s3: Storage, place: str) -> None:
    uri = s3.uri(place)
    assert found(uri) == []
    keep(uri, "one", (A, b"1"))
    make_older(s3, timedelta(days=3))
    keep(uri, "two", (A, b"2"), (B, b"3"))
    AnswerCache(uri).note_hits("two", 7)
    assert found(uri) == [(A, b"2"), (B, b"3"), (A, b"1")]
    assert found(uri, timedelta(days=2)) == [(A, b"2"), (B, b"3")]
    keep(uri, "two", (A, b"4"))
    assert found(uri) == [(A, b"4"), (A, b"1")]
    size = sum(len(s3.get(key)) for key in s3.keys())  # noqa: SIM118
    assert AnswerCache(uri).count() == CacheCounts(2, size, 7)
    done = run_task(KimiPurgeCacheOperator(task_id="purge", cache=uri, older_than=timedelta(days=2))).value
    assert (done["entries"], done["hits"], done["removed_entries"]) == (1, 7, 1)
    assert found(uri) == [(A, b"4")]


def test_what_other_processes_keep_and_purge_on_s3_is_seen(s3: Storage) -> None:
    """The libraries remember what they have listed for as long as the process lives."""
    uri = s3.uri("cache")
    keep(uri, "one", (A, b"1"))
    assert found(uri) == [(A, b"1")]
    (key,) = s3.keys()
    content = s3.get(key)
    s3.delete(key)
    assert found(uri) == []
    s3.put(key, content.replace(b":1}", b":9}"))
    assert found(uri) == []
    s3.put(key, content)
    assert found(uri) == [(A, b"1")]


def test_a_file_that_is_purged_or_replaced_on_s3_while_it_is_read_is_read_to_its_end(s3: Storage) -> None:
    uri = s3.uri("cache")
    keep(uri, "oldest", (B, b"1"))
    make_older(s3, timedelta(days=1))
    for number in range(4):  # of which the process copies three while it reads the newest
        keep(uri, f"old {number}", (A, b"1"))
    make_older(s3, timedelta(days=1))
    many = [(number.to_bytes(16, "big"), b'"%s"' % (b"x" * 1000)) for number in range(20_000)]
    keep(uri, "new", *many)
    answers = AnswerCache(uri).find(lambda digest: True)
    first = next(answers)
    AnswerCache(uri).purge(timedelta(0))
    keep(uri, "oldest", (B, b"2"))
    assert [first, *answers] == [*many, *[(A, b"1")] * 3, (B, b"2")]


def test_a_million_bytes_and_more_are_put_on_s3_in_one_object(s3: Storage) -> None:
    many = [(number.to_bytes(16, "big"), b'"%s"' % (b"x" * 1000)) for number in range(20_000)]
    keep(s3.uri("cache"), "one", *many)
    assert len(s3.keys()) == 1
    assert found(s3.uri("cache")) == many


class TestFaults:
    def test_a_bucket_that_does_not_exist_is_refused_before_anything_is_sent(self, s3: Storage) -> None:
        with pytest.raises(KimiInputError, match=r"^Cache 's3://.*' cannot be listed .*bucket.* Nothing was sent\."):
            found(f"s3://{s3.conn_id}@no-such-bucket/cache")

    def test_a_bucket_that_may_not_be_listed_is_refused_before_anything_is_sent(
        self, gated: tuple[Storage, Gate]
    ) -> None:
        storage, gate = gated
        keep(storage.uri("cache"), "one", (A, b"1"))
        gate.may_list = False
        with pytest.raises(KimiInputError, match=r"cannot be listed \(PermissionError.* Nothing was sent\. .*access"):
            found(storage.uri("cache"))

    def test_a_key_that_is_refused_fails_a_purge_at_once(self, s3: Storage) -> None:
        with s3.refusing(), pytest.raises(AirflowFailException, match=r"cannot be listed \(PermissionError"):
            run_task(KimiPurgeCacheOperator(task_id="purge", cache=s3.uri("cache"), older_than=0))

    @pytest.mark.parametrize(
        ("kind", "at"), [("refused", 1), ("refused", 2), ("refused", 5), ("lost", 1), ("lost", 5), ("down", 3)]
    )
    def test_whichever_request_fails_the_answers_are_kept_or_not_and_whole(
        self, gated: tuple[Storage, Gate], kind: str, at: int
    ) -> None:
        storage, gate = gated
        uri = storage.uri("cache")
        keep(uri, "before", (A, b"1"))
        many = [(number.to_bytes(16, "big"), b'"%s"' % (b"x" * 1000)) for number in range(20_000)]
        gate.set(kind, at)  # type: ignore[arg-type]
        try:
            keep(uri, "one", *many)
        except OSError:
            is_told = True
        else:
            is_told = False
        gate.open()
        cache = AnswerCache(uri)
        answers = [answer for answer in cache.find(lambda digest: True) if answer.digest != A]
        assert answers in ([], many)
        assert is_told or answers
        assert cache.damaged == 0
        keep(uri, "one", *many)
        assert cache.count().entries == len(many) + 1
