"""Odd answers: what is odd costs a field or a row, never its neighbours."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.errors import decode
from airflow_provider_kimi.api.models import Batch, BatchPage, FilePage, RequestCounts
from airflow_provider_kimi.api.replies import FIRST_SECOND, LAST_SECOND, MOST_ROWS
from airflow_provider_kimi.api.standing import as_clock
from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.waiting.pace import pause_between_polls
from airflow_provider_kimi.waiting.progress import progress_line, progress_of
from tests.support.samples import make_settings

NOW = 1_757_000_000
TIMES = ("in_progress_at", "finalizing_at", "cancelling_at", "completed_at", "failed_at", "cancelled_at")

ODD: list[Any] = [None, -1, -63_375_533_000, 10**30, 1.5, True, "", "x", "nan", "\n", [], {}, [1], {"a": {}}]


def read(content: bytes, kind: Any = Batch) -> Any:
    return decode(make_settings(), "reading", content, kind)


def read_batch(**fields: Any) -> Batch:
    batch: Batch = read(msgspec.json.encode({"id": "batch_1", "status": "in_progress", **fields}))
    return batch


def page_of(*rows: bytes) -> bytes:
    return b'{"object": "list", "data": [' + b", ".join(rows) + b"]}"


@pytest.mark.parametrize(
    ("sent", "count"),
    [(-5, 0), (None, 0), ("x", 0), (True, 0), ([], 0), (10**30, 0), (MOST_ROWS + 1, 0), ("7", 7), (7.0, 7), (7, 7)],
)
def test_a_count_that_is_no_number_of_rows_is_zero(sent: object, count: int) -> None:
    batch = read_batch(request_counts={"total": 9, "completed": sent, "failed": 1})
    assert batch.counts == RequestCounts(9, count, 1)


@pytest.mark.parametrize("sent", [None, [], "none", 7, True])
def test_counts_that_are_no_object_are_zero(sent: object) -> None:
    assert read_batch(request_counts=sent).counts == RequestCounts()


@pytest.mark.parametrize("name", ["created_at", "expires_at", *TIMES])
@pytest.mark.parametrize(
    "sent", [-1, 0, FIRST_SECOND - 1, LAST_SECOND + 1, -63_375_533_000, 10**18, "soon", "nan", True, [], {}]
)
def test_a_time_outside_of_our_age_is_not_a_time(name: str, sent: object) -> None:
    assert getattr(read_batch(**{name: sent}), name) is None


@pytest.mark.parametrize("sent", [NOW, float(NOW), NOW + 0.5, str(NOW)])
def test_a_time_may_be_written_as_any_number(sent: object) -> None:
    assert read_batch(created_at=sent).created_at == NOW


def test_a_window_that_ends_before_it_begins_has_no_end() -> None:
    """Or a wait would take a healthy batch for one that is long overdue."""
    assert read_batch(created_at=NOW, expires_at=NOW - 86_400).expires_at is None
    assert read_batch(created_at=NOW, expires_at=NOW + 86_400).expires_at == NOW + 86_400


@pytest.mark.parametrize("sent", [None, "", 3, [], {}, True])
def test_a_status_that_is_no_text_is_unknown_and_the_batch_is_waited_for(sent: object) -> None:
    batch = read_batch(status=sent)
    assert batch.status == "unknown"
    assert batch.is_terminal is False


@pytest.mark.parametrize("sent", [None, [], "x", 3])
def test_metadata_that_are_no_object_are_none(sent: object) -> None:
    assert read_batch(metadata=sent).metadata is None


@pytest.mark.parametrize("sent", [[], {}, 3, True])
def test_a_file_id_that_is_no_text_is_none(sent: object) -> None:
    assert read_batch(output_file_id=sent).output_file_id is None


@pytest.mark.parametrize(
    "odd",
    [
        b"null",
        b"7",
        b"[]",
        b"{}",
        b'{"id": null, "status": "completed"}',
        b'{"id": "", "status": "completed"}',
        b'{"id": 5, "status": "completed"}',
        b'{"id": "\xff", "status": "completed"}',
        b'{"id": "batch_odd"}',
    ],
)
def test_a_row_of_the_list_that_is_not_a_batch_hides_no_other(odd: bytes) -> None:
    page = read(page_of(b'{"id": "b1", "status": "completed"}', odd, b'{"id": "b2", "status": null}'), BatchPage)
    assert [(batch.id, batch.status) for batch in page.data] == [("b1", "completed"), ("b2", "unknown")]


@pytest.mark.parametrize("text", [rb'"\ud800"', rb'"\udc00 x"', rb'"\ud83d\ude00"', b'"\xff"', b"1e999", b"-1e999"])
def test_what_no_decoder_takes_hides_no_other_batch(text: bytes) -> None:
    odd = b'{"id": "b1", "status": "completed", "created_at": %s, "metadata": {"a": %s}}' % (text, text)
    page = read(page_of(odd, b'{"id": "b2", "status": "failed", "metadata": {"kimi_shard": "1/1"}}'), BatchPage)
    assert [batch.id for batch in page.data] == ["b1", "b2"]
    assert page.data[1].metadata == {"kimi_shard": "1/1"}


def test_a_text_holds_no_character_that_airflow_cannot_store() -> None:
    batch = read_batch(id="batch_\x00", status="odd\x00", output_file_id="\x00")
    assert (batch.id, batch.status, batch.output_file_id) == ("batch_\ufffd", "odd\ufffd", "\ufffd")


def test_a_list_that_is_null_is_empty() -> None:
    assert read(b'{"data": null}', BatchPage) == BatchPage([])
    assert read(b'{"data": null}', FilePage).data == []


@pytest.mark.parametrize("content", [b'{"data": {}}', b'{"data": 7}', b"{}", b"[]", b'{"object": "list"}'])
def test_what_is_no_list_proves_nothing_about_batches(content: bytes) -> None:
    with pytest.raises(KimiApiError) as caught:
        read(content, BatchPage)
    assert caught.value.retryable is True


def test_an_odd_file_hides_no_other_and_has_no_odd_number() -> None:
    content = page_of(b'{"id": "f1", "bytes": -3, "created_at": -63375533000}', b"null", b'{"id": "f2", "bytes": 5}')
    files = read(content, FilePage).data
    assert [(file.id, file.bytes, file.created_at) for file in files] == [("f1", None, None), ("f2", 5, None)]


@given(
    counts=st.dictionaries(st.sampled_from(["total", "completed", "failed"]), st.sampled_from([*ODD, 3, 10])),
    times=st.dictionaries(
        st.sampled_from(["created_at", "expires_at", *TIMES]),
        st.sampled_from([*ODD, 0, NOW - 10, NOW + 86_400, FIRST_SECOND, LAST_SECOND]),
    ),
    status=st.sampled_from(["in_progress", "finalizing", "cancelling", "validating", "completed", None]),
)
def test_whatever_the_platform_sends_a_wait_can_say_how_the_batch_stands(
    counts: dict[str, Any], times: dict[str, Any], status: str | None
) -> None:
    batch = read_batch(status=status, request_counts=counts, **times)
    progress = progress_of([batch], float(NOW))
    assert batch.id in progress_line([batch], progress, float(NOW))
    assert progress.completed >= 0
    assert 0 <= pause_between_polls(batch, float(NOW)) <= 7 * 60
    assert as_clock(batch.created_at or 0)
