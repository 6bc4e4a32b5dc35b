"""Replies of the platform, in the spellings that were seen."""

from typing import Any

import msgspec
import pytest

from airflow_provider_kimi.api.models import (
    ACTIVE_STATUSES,
    TERMINAL_STATUSES,
    UNCANCELLABLE_STATUSES,
    Batch,
    BatchPage,
    DeletedFile,
    Envelope,
    Model,
    RemoteFile,
    RequestCounts,
    TokenCount,
)
from airflow_provider_kimi.api.replies import read_reply
from tests.support.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch


def read(**fields: Any) -> Batch:
    """A batch as it is read from JSON."""
    return read_reply(msgspec.json.encode({"id": "batch_1", "status": "completed", **fields}), Batch)


@pytest.mark.parametrize("status", TERMINAL)
def test_completed_failed_expired_and_cancelled_are_terminal(status: str) -> None:
    assert make_batch(status).is_terminal is True


@pytest.mark.parametrize("status", ACTIVE)
def test_active_statuses_are_not_terminal(status: str) -> None:
    assert make_batch(status).is_terminal is False


@pytest.mark.parametrize("status", UNKNOWN)
def test_an_undocumented_status_is_not_terminal(status: str) -> None:
    """Such a batch is polled further."""
    assert make_batch(status).is_terminal is False
    assert status not in ACTIVE_STATUSES


def test_terminal_and_active_statuses_are_the_eight_documented_ones() -> None:
    assert frozenset(TERMINAL) == TERMINAL_STATUSES
    assert frozenset(ACTIVE) == ACTIVE_STATUSES


def test_finalizing_and_cancelling_batches_are_not_cancelled() -> None:
    assert frozenset({"finalizing", "cancelling"}) == UNCANCELLABLE_STATUSES


@pytest.mark.parametrize("name", ["input_file_id", "output_file_id", "error_file_id"])
@pytest.mark.parametrize(
    "spelled",
    [pytest.param([""], id="empty"), pytest.param([None], id="null"), pytest.param([], id="missing")],
)
def test_an_absent_file_id_is_none_in_every_spelling(name: str, spelled: list[str | None]) -> None:
    batch = read(**{name: spelled[0]}) if spelled else read()
    assert getattr(batch, name) is None


def test_file_ids_that_are_present_are_read() -> None:
    batch = read(input_file_id="file_i", output_file_id="file_o", error_file_id="file_e")
    assert (batch.input_file_id, batch.output_file_id, batch.error_file_id) == ("file_i", "file_o", "file_e")


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        pytest.param({}, RequestCounts(0, 0, 0), id="missing"),
        pytest.param({"request_counts": None}, RequestCounts(0, 0, 0), id="null"),
        pytest.param({"request_counts": {}}, RequestCounts(0, 0, 0), id="empty"),
        pytest.param({"request_counts": {"total": 3}}, RequestCounts(3, 0, 0), id="partial"),
        pytest.param(
            {"request_counts": {"total": None, "completed": None, "failed": None}},
            RequestCounts(0, 0, 0),
            id="nulls",
        ),
        pytest.param(
            {"request_counts": {"total": 3, "completed": None, "failed": 1}}, RequestCounts(3, 0, 1), id="a null"
        ),
        pytest.param(
            {"request_counts": {"total": 3, "completed": 1, "failed": 2}}, RequestCounts(3, 1, 2), id="complete"
        ),
    ],
)
def test_counts_that_are_missing_or_null_are_zero(fields: dict[str, object], counts: RequestCounts) -> None:
    assert read(**fields).counts == counts


@pytest.mark.parametrize(
    "metadata", [None, {}, {"a": None}, {"a": "x", "b": None}, {"a": 7}], ids=["null", "empty", "N", "some", "number"]
)
def test_metadata_with_values_of_any_type_is_read(metadata: dict[str, object] | None) -> None:
    """A foreign batch in the list does not hide the others."""
    assert read(metadata=metadata).metadata == metadata


@pytest.mark.parametrize(
    ("status", "ended_at"),
    [
        pytest.param("completed", 3, id="completed"),
        pytest.param("failed", 4, id="failed"),
        pytest.param("cancelled", 5, id="cancelled"),
        pytest.param("expired", 2, id="expired: at the end of its window"),
        *(pytest.param(status, None, id=f"{status or 'empty'}: not yet") for status in (*ACTIVE, *UNKNOWN)),
    ],
)
def test_the_end_of_a_batch_is_the_time_of_its_status(status: str, ended_at: int | None) -> None:
    batch = make_batch(status, created_at=1, expires_at=2, completed_at=3, failed_at=4, cancelled_at=5)
    assert batch.ended_at == ended_at


def test_a_batch_is_read_with_all_documented_fields_and_unknown_ones_are_ignored() -> None:
    batch = read(
        object="batch",
        endpoint="/v1/chat/completions",
        input_file_id="file_i",
        completion_window="24h",
        created_at=1_757_000_000,
        expires_at=1_757_086_400,
        in_progress_at=1_757_000_010,
        metadata={"who": "me"},
        a_new_field={"x": 1},
    )
    assert batch == Batch(
        id="batch_1",
        status="completed",
        input_file_id="file_i",
        completion_window="24h",
        created_at=1_757_000_000,
        expires_at=1_757_086_400,
        in_progress_at=1_757_000_010,
        metadata={"who": "me"},
    )


def test_a_batch_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        make_batch().status = "completed"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ending", "has_more"),
    [
        pytest.param("", None, id="missing"),
        pytest.param(', "has_more": null', None, id="null"),
        pytest.param(', "has_more": true', True, id="true"),
        pytest.param(', "has_more": false', False, id="false"),
    ],
)
def test_a_page_of_batches_keeps_whether_more_follow(ending: str, has_more: bool | None) -> None:
    content = f'{{"object": "list", "data": [{{"id": "b", "status": "failed"}}]{ending}}}'
    page = read_reply(content.encode(), BatchPage)
    assert page == BatchPage([Batch(id="b", status="failed")], has_more=has_more)


def test_files_models_deletions_and_token_counts_are_read() -> None:
    files = read_reply(b'{"data": [{"id": "f", "bytes": 3, "purpose": "batch"}]}', Envelope[list[RemoteFile]])
    assert [(file.id, file.bytes, file.purpose, file.created_at) for file in files.data] == [("f", 3, "batch", None)]
    models = read_reply(b'{"data": [{"id": "m", "context_length": 262144}]}', Envelope[list[Model]])
    assert [(model.id, model.context_length) for model in models.data] == [("m", 262144)]
    assert read_reply(b'{"id": "f", "deleted": true}', DeletedFile).deleted is True
    assert read_reply(b'{"id": "f"}', DeletedFile).deleted is False
    assert read_reply(b'{"data": {"total_tokens": 7}}', Envelope[TokenCount]).data.total_tokens == 7
