"""The trigger's event survives JSON, a restart and a release."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.exceptions import KimiBatchError
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent, Outcome
from tests.support.samples import TERMINAL, make_batch

#: An event as version 1 wrote it; it must load in every later release.
VERSION_1: dict[str, Any] = {
    "version": 1,
    "outcome": "timed_out",
    "batches": {
        "batch_1": {"status": "completed", "total": 3, "completed": 2, "failed": 1, "error_file_id": "file_e"},
        "batch_2": {"status": "in_progress", "total": 0, "completed": 0, "failed": 0, "error_file_id": None},
    },
    "message": "why",
}

#: What may stand in the place of `batches`, and of a field of one batch, where an event is broken.
NO_BATCHES: list[object] = [None, [], "batch_1", {"batch_1": None}, {"batch_1": "completed"}, {"batch_1": {}}]
WRONG_FIELDS: list[tuple[str, object]] = [
    ("status", None),
    ("total", None),
    ("total", "3"),
    ("failed", True),
    ("error_file_id", 7),
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ENDS = st.builds(
    BatchEnd,
    status=TEXTS,
    total=st.integers(0, 10**6),
    completed=st.integers(0, 10**6),
    failed=st.integers(0, 10**6),
    error_file_id=st.one_of(st.none(), TEXTS),
)
OUTCOMES: list[Outcome] = ["ended", "timed_out", "failed"]


@given(event=st.builds(BatchEvent, st.sampled_from(OUTCOMES), st.dictionaries(TEXTS, ENDS, max_size=4), TEXTS))
def test_an_event_survives_json(event: BatchEvent) -> None:
    assert BatchEvent.from_dict(msgspec.json.decode(msgspec.json.encode(event.to_dict()))) == event


def test_an_event_holds_nothing_that_airflow_cannot_store() -> None:
    """PostgreSQL refuses a NUL in the JSON by which a task is resumed."""
    event = BatchEvent("failed", {"batch_1": BatchEnd("odd\x00")}, "the platform says \x00\udcff")
    stored = event.to_dict()
    assert (stored["message"], stored["batches"]["batch_1"]["status"]) == (
        "the platform says \ufffd\ufffd",
        "odd\ufffd",
    )


def test_a_stored_event_of_version_1_loads() -> None:
    """A task that was deferred before an upgrade resumes after it."""
    event = BatchEvent.from_dict(VERSION_1)
    assert event == BatchEvent(
        "timed_out",
        {"batch_1": BatchEnd("completed", 3, 2, 1, "file_e"), "batch_2": BatchEnd("in_progress")},
        "why",
    )
    assert event.to_dict() == {**VERSION_1, "try_number": None, "retryable": False, "to_come": 0, "polled_at": None}


def test_an_event_without_optional_fields_loads() -> None:
    payload = {"version": 1, "outcome": "ended", "batches": {"batch_1": {"status": "failed"}}}
    assert BatchEvent.from_dict(payload) == BatchEvent("ended", {"batch_1": BatchEnd("failed")})


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({**VERSION_1, "version": 2}, id="newer version"),
        pytest.param({**VERSION_1, "version": "1"}, id="version is text"),
        pytest.param({**VERSION_1, "version": None}, id="no version"),
        pytest.param({**VERSION_1, "version": True}, id="version is true"),
        pytest.param({**VERSION_1, "version": 0}, id="version zero"),
        pytest.param({**VERSION_1, "version": 1.0}, id="version is a fraction"),
        pytest.param({**VERSION_1, "outcome": "success"}, id="unknown outcome"),
        pytest.param({**VERSION_1, "outcome": None}, id="no outcome"),
        pytest.param({"status": "success"}, id="event of something else"),
        pytest.param({}, id="empty"),
        pytest.param({"version": 1, "outcome": "ended"}, id="no batches"),
        *(pytest.param({**VERSION_1, "batches": batches}, id=f"batches are {batches!r}") for batches in NO_BATCHES),
        *(
            pytest.param(
                {**VERSION_1, "batches": {"batch_1": {"status": "failed", name: value}}}, id=f"{name} is {value!r}"
            )
            for name, value in WRONG_FIELDS
        ),
        pytest.param({**VERSION_1, "batches": {7: {"status": "failed"}}}, id="id is a number"),
        pytest.param({**VERSION_1, "message": None}, id="message is null"),
    ],
)
def test_an_event_that_cannot_be_read_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(KimiBatchError, match="resumed by an event that it cannot read") as caught:
        BatchEvent.from_dict(payload)
    assert "The batches are not touched by this." in str(caught.value)


def test_what_a_later_release_adds_to_an_event_of_this_version_is_ignored() -> None:
    """The trigger may be newer than the task that it resumes."""
    ends = {batch_id: {**end, "new": {"x": 1}} for batch_id, end in VERSION_1["batches"].items()}
    assert BatchEvent.from_dict({**VERSION_1, "batches": ends, "new": [1]}) == BatchEvent.from_dict(VERSION_1)


@pytest.mark.parametrize("status", TERMINAL)
def test_an_end_keeps_the_status_and_the_counts_of_its_batch(status: str) -> None:
    batch = make_batch(status, request_counts=RequestCounts(5, 3, 2), error_file_id="file_e")
    assert BatchEnd.of(batch) == BatchEnd(status, 5, 3, 2, "file_e")
