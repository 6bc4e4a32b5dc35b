"""The manifest says what failed by reason: all rows are counted, few ids are named, and no message ever is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import ROW_STATUSES, Row, RowStatus, added_row, skipped_row
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.results.failures import MAX_COUNTED, Failures, fitted, reason_of
from airflow_provider_kimi.results.manifest import build_manifest, with_files
from airflow_provider_kimi.results.tally import Tally
from tests.support.samples import make_batch

UNUSABLE = st.sampled_from([status for status in ROW_STATUSES if status != "succeeded"])
CODES = st.none() | st.sampled_from(["finish_reason", "check", "length", "a message"]) | st.text()
FAILED = st.builds(Row, custom_id=st.text(), status=UNUSABLE, error_code=CODES, finish_reason=CODES)


def failed(custom_id: str = "a", code: str | None = "server_error", status: RowStatus = "failed", **fields: str) -> Row:
    return Row(custom_id=custom_id, status=status, error_code=code, **fields)  # type: ignore[arg-type]


def tally_of_rows(*rows: Row) -> Tally:
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def manifest_of(tally: Tally, batches: int = 1, folder: str = "out", run_id: str = "r") -> Manifest:
    ids = [f"batch_{number:024d}" for number in range(batches)]
    task = TaskIdentity("reviews", run_id, "label")
    made = build_manifest(
        [make_batch("completed", one) for one in ids], tally, prices=PRICE_LISTS["cn"], landed_by=task
    )
    names = ("results.jsonl", "output.jsonl", "error.jsonl", "dead_letter.jsonl")
    return with_files(made, {name: f"file:///{folder}/{name}" for name in names})


def named(tally: Tally) -> list[tuple[str, str, int, list[str]]]:
    return [(one.status, one.reason, one.count, one.sample) for one in tally.failures.named]


def test_reasons_come_with_the_most_common_first_and_three_ids_each() -> None:
    rows = [
        failed("a", "check", "invalid"),
        *(failed(f"b{n}") for n in range(4)),
        Row(custom_id="c", status="succeeded"),
    ]
    tally = tally_of_rows(*rows, failed("d", "length", "truncated"), failed("e", "check", "invalid"))
    assert named(tally) == [
        ("failed", "server_error", 4, ["b0", "b1", "b2"]),
        ("invalid", "check", 2, ["a", "e"]),
        ("truncated", "length", 1, ["d"]),
    ]


def test_a_result_in_which_every_row_succeeded_names_no_failures() -> None:
    manifest = manifest_of(tally_of_rows(Row(custom_id="a", status="succeeded")))
    assert manifest.failures is UNSET
    assert "failures" not in manifest.to_dict()


def test_an_answer_that_ended_for_an_unknown_reason_is_counted_by_that_reason() -> None:
    tally = tally_of_rows(failed("a", "finish_reason", "invalid", finish_reason="engine_overloaded"))
    assert named(tally) == [("invalid", "engine_overloaded", 1, ["a"])]


def test_rows_that_were_never_asked_and_rows_without_a_name_are_counted_too() -> None:
    tally = tally_of_rows(skipped_row("a", "line 1", "is blank"), added_row("b"))
    tally.add_unnamed(5, "cancelled")
    assert named(tally) == [
        ("cancelled", "batch_cancelled", 5, []),
        ("invalid", "not_sent", 1, ["a"]),
        ("missing", "not_asked", 1, ["b"]),
    ]


@pytest.mark.parametrize(
    "code",
    ["server_error", "batch_expired", "schema_mismatch", "content_filter", "429", "RateLimitReached", "QUOTA_EXCEEDED"],
)
def test_a_code_is_named_as_it_is(code: str) -> None:
    assert reason_of(code) == code


@pytest.mark.parametrize(
    "code",
    [
        *(None, "", "other", "no such model", "sk-abcdefghijkl", "SK_3f9Qx71Lm0aZ", "3f9c1b7a5d2e4f60", "13800138000"),
        *(
            "这条评论",
            "a\nb",
            "a\x00b",
            "x" * 41,
            "me@example.com",
            "<script>",
            "{{ conn.kimi }}",
            "aKtBqZrLmNpQsTvW",
            "²",
        ),
    ],
    ids=repr,
)
def test_what_is_not_written_as_a_code_is_called_other(code: str | None) -> None:
    assert reason_of(code) == "other"


def test_beyond_ten_reasons_the_rest_is_one_sum_with_a_name_of_its_own() -> None:
    rows = [failed(f"{n}-{time}", f"code_{chr(97 + n)}") for n in range(14) for time in range(20 - n)]
    found = named(tally_of_rows(*rows))
    assert [reason for _, reason, _, _ in found] == [*(f"code_{chr(97 + n)}" for n in range(10)), "further_reasons"]
    assert found[-1] == ("mixed", "further_reasons", 10 + 9 + 8 + 7, [])
    assert sum(count for _, _, count, _ in found) == len(rows)


def test_any_number_of_reasons_and_rows_is_counted_in_bounded_memory() -> None:
    failures = Failures()
    letters = "abcdefghijklmnop"
    for number in range(5000):
        code = "".join(letters[int(digit, 16)] for digit in f"{number:04x}")
        failures.add(failed("z" * 10_000, code))
    counts, samples = vars(failures).values()
    assert len(counts) == len(samples) == MAX_COUNTED + 1
    assert counts["failed", "other"] == 5000 - MAX_COUNTED
    assert max(len(one) for sample in samples.values() for one in sample) == 64
    assert sum(failure.count for failure in failures.named) == 5000


@given(rows=st.lists(FAILED | st.builds(Row, custom_id=st.text(), status=st.just("succeeded"))))
def test_whatever_failed_the_counts_add_up_to_the_rows_that_did_not_succeed(rows: list[Row]) -> None:
    found = manifest_of(tally_of_rows(*rows))
    assert sum(one.count for one in found.failures or ()) == found.counts["total"] - found.counts["succeeded"]
    json.dumps(found.to_dict()).encode()


def worst(reasons: int = 12, id_of: str = "评" * 10_000) -> Tally:
    """Many reasons, each with ids that take six bytes for each character."""
    letters = "abcdefghijklmnop"
    return tally_of_rows(
        *(failed(f"{n}{time}{id_of}", f"code_of_a_long_name_{letters[n]}") for n in range(reasons) for time in range(3))
    )


@pytest.mark.parametrize(
    ("batches", "folder", "ids", "reasons"),
    [
        pytest.param(1, "标签", 1, 11, id="one batch"),
        pytest.param(60, "标签", 1, 11, id="sixty batches"),
        pytest.param(100, "标签" * 10, 0, 11, id="a hundred batches"),
        pytest.param(160, "标签" * 5, 0, 9, id="a hundred and sixty batches"),
    ],
)
def test_the_manifest_fits_into_an_xcom_whatever_failed(batches: int, folder: str, ids: int, reasons: int) -> None:
    found = manifest_of(worst(), batches, folder)
    assert found.failures is not UNSET
    assert (len(found.failures[0].sample), len(found.failures)) == (ids, reasons)
    assert len(json.dumps(found.to_dict())) < 8000
    assert sum(one.count for one in found.failures) == 36


def test_where_batches_alone_fill_an_xcom_failures_are_one_number() -> None:
    found = manifest_of(worst(), batches=400)
    assert found.failures is not UNSET
    assert [(one.status, one.reason, one.count) for one in found.failures] == [("mixed", "further_reasons", 36)]


def test_a_manifest_with_room_names_the_failures_as_they_are() -> None:
    found = manifest_of(worst(3, "b"), batches=40)
    assert found.failures == worst(3, "b").failures.named
    assert fitted(found) == found
