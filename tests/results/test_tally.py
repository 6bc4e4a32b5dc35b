"""What a landed result adds up to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.api.models import RequestCounts
from airflow_provider_kimi.records.rows import ROW_STATUSES, Row, RowStatus, skipped_row
from airflow_provider_kimi.results.cost import Usage
from airflow_provider_kimi.results.manifest import billed, build_manifest, with_files
from airflow_provider_kimi.results.tally import Tally
from tests.support.samples import make_batch, tally_of

FILES = {"output.jsonl": "file:///out/output.jsonl", "results.jsonl": "file:///out/results.jsonl"}


def test_the_tally_adds_the_tokens_of_every_row_that_reports_them() -> None:
    """A row that was cut off is billed too."""
    tally = Tally()
    tally.add(
        Row(
            custom_id="a",
            status="succeeded",
            prompt_tokens=20,
            cached_tokens=16,
            completion_tokens=5,
            reasoning_tokens=3,
            model="kimi-k2.6",
        )
    )
    tally.add(Row(custom_id="b", status="truncated", prompt_tokens=10, completion_tokens=64, model="other"))
    tally.add(Row(custom_id="c", status="failed"))
    assert (tally.total_usage.prompt_tokens, tally.total_usage.cached_tokens) == (30, 16)
    assert (tally.total_usage.completion_tokens, tally.total_usage.reasoning_tokens) == (69, 3)
    assert tally.model == "kimi-k2.6"
    assert (tally.total, tally.unusable) == (3, 2)


@given(statuses=st.lists(st.sampled_from(ROW_STATUSES)))
def test_the_tally_counts_rows_and_ignores_the_counts_of_the_platform(statuses: list[RowStatus]) -> None:
    """Rows decide, not the platform's counters."""
    tally = Tally()
    for status in statuses:
        tally.add(Row(custom_id="a", status=status))
    liar = make_batch("completed", request_counts=RequestCounts(1000, 1000, 0))
    counts = with_files(build_manifest([liar], tally, prices=PRICE_LISTS["cn"]), FILES).to_dict()["counts"]
    assert counts.pop("total") == len(statuses)
    assert list(counts) == list(ROW_STATUSES)
    assert sum(counts.values()) == len(statuses)
    assert counts == {status: statuses.count(status) for status in ROW_STATUSES}


@pytest.mark.parametrize(
    ("batch_status", "status"),
    [("cancelled", "cancelled"), ("expired", "expired"), ("failed", "failed"), ("completed", "missing")],
)
def test_rows_without_known_ids_count_by_the_status_of_their_batch(batch_status: str, status: str) -> None:
    tally = tally_of(succeeded=1)
    tally.add_unnamed(3, batch_status)
    assert (tally.total, tally.unusable, tally.status) == (4, 3, "partial")
    assert tally.summary() == f"4 rows: 1 succeeded, 3 {status}"


@pytest.mark.parametrize("rows", [0, -1, -3])
def test_a_number_of_rows_below_one_adds_nothing(rows: int) -> None:
    tally = tally_of(succeeded=1, cancelled=2)
    tally.add_unnamed(rows, "cancelled")
    assert (tally.total, tally.unusable) == (3, 2)
    assert tally.summary() == "3 rows: 1 succeeded, 2 cancelled"


@pytest.mark.parametrize(
    ("counts", "status", "unusable"),
    [
        pytest.param({"succeeded": 2}, "completed", 0, id="all"),
        pytest.param({"succeeded": 2, "missing": 1}, "partial", 1, id="not all"),
        pytest.param({"failed": 2, "expired": 1}, "failed", 3, id="none"),
        pytest.param({}, "failed", 0, id="no rows"),
        *(
            pytest.param({"succeeded": 1, status: 1}, "partial", 1, id=status)
            for status in ROW_STATUSES
            if status != "succeeded"
        ),
    ],
)
def test_the_status_of_a_result_follows_its_rows(counts: dict[str, int], status: str, unusable: int) -> None:
    tally = tally_of(**counts)
    assert (tally.status, tally.unusable) == (status, unusable)


def test_the_summary_names_counts_in_the_order_of_the_manifest() -> None:
    assert tally_of(missing=1, succeeded=1200).summary() == "1,201 rows: 1,200 succeeded, 1 missing"


def test_the_summary_names_the_most_common_error() -> None:
    """An all-failed batch says why."""
    tally = Tally()
    for code, message in [("a", "rare"), ("b", "first"), ("b", "second"), ("a", "rare"), ("b", "third")]:
        tally.add(Row(custom_id="x", status="failed", error_code=code, error_message=message))
    assert tally.summary() == "5 rows: 5 failed; most common error, 3 times: b, 1 of them: first"


def test_the_summary_counts_errors_by_code_and_not_by_message() -> None:
    """Messages that name their rows do not hide that they are one error."""
    tally = Tally()
    for number in range(3):
        message = f"row {number} is too long"
        tally.add(Row(custom_id="x", status="failed", error_code="b", error_message=message))
    for _ in range(2):
        tally.add(Row(custom_id="x", status="failed", error_code="a", error_message="same"))
    assert tally.summary() == "5 rows: 5 failed; most common error, 3 times: b: row 0 is too long"


def test_the_summary_names_the_most_common_reason_of_an_error() -> None:
    tally = Tally()
    for number, reason in enumerate(["is blank", "has no text", "has no text"], 1):
        tally.add(skipped_row("x", f"line {number}", reason))
    assert tally.summary() == (
        "3 rows: 3 invalid; most common error, 3 times: not_sent, 2 of them: "
        "line 2 was left out, because it has no text"
    )


def test_any_number_of_reasons_is_counted_in_bounded_memory() -> None:
    tally = Tally()
    for number in range(5000):
        text = f"{number:x}".translate(str.maketrans("0123456789", "ghijklmnop"))
        tally.add(Row(custom_id="x", status="failed", error_code="b", error_message=text))
    assert len(tally.reasons) == len(tally.first_messages) == 1001
    assert "most common error, 5,000 times: b, 4,000 of them: " in tally.summary()


def test_any_number_of_codes_is_counted_in_bounded_memory() -> None:
    tally = Tally()
    for number in range(5000):
        tally.add(Row(custom_id="x", status="failed", error_code=f"code {number}", error_message="m"))
    assert len(tally.reasons) == len(tally.first_messages) == 2001
    assert "most common error, 3,000 times: other: m" in tally.summary()


def test_the_summary_names_an_error_without_a_message() -> None:
    tally = Tally()
    tally.add(Row(custom_id="x", status="failed", error_code="a"))
    assert tally.summary() == "1 row: 1 failed; most common error, once: a: "


@pytest.mark.parametrize("status", ["failed", "filtered"])
def test_the_summary_does_not_repeat_the_prompt_that_the_platform_repeats(status: RowStatus) -> None:
    tally = Tally()
    row = Row(custom_id="x", status=status, error_code="a", error_message="'a long letter to a shop' is refused")
    tally.add(row, letter=b'{"body": {"messages": [{"role": "user", "content": "Label a long letter to a shop"}]}}')
    assert tally.summary() == f"1 row: 1 {status}; most common error, once: a: '<hidden>' is refused"


@pytest.mark.parametrize("letter", [b"{", b"[]", b'{"body": null}', b'{"custom_id": "x", "row": null}'], ids=str)
def test_the_summary_names_the_reason_beside_a_letter_without_messages(letter: bytes) -> None:
    tally = Tally()
    tally.add(Row(custom_id="x", status="failed", error_code="a", error_message="no reason to hide"), letter=letter)
    assert tally.summary().endswith(": a: no reason to hide")


def test_the_summary_repeats_what_a_check_says_though_the_prompt_says_it_too() -> None:
    tally = Tally()
    row = Row(custom_id="x", status="invalid", error_code="check", error_message="is not one of: good, bad")
    tally.add(row, letter=b'{"body": {"messages": [{"role": "user", "content": "Say what is not one of: good, bad"}]}}')
    assert tally.summary().endswith(": check: is not one of: good, bad")


def test_the_summary_hides_account_ids() -> None:
    tally = Tally()
    tally.add(Row(custom_id="x", status="failed", error_code="a", error_message="<org-1><ak-2> no"))
    assert tally.summary().endswith(": a: <hidden><hidden> no")


def test_the_manifest_has_exactly_these_fields() -> None:
    tally = tally_of(succeeded=2, expired=1)
    tally.usage, tally.uncounted = {"kimi-k2.6": Usage(30, 16, 69, 3)}, 0
    metadata = {"kimi_input_fingerprint": "sha256:i", "kimi_prompt_fingerprint": "sha256:p"}
    batch = make_batch("completed", created_at=1_757_000_000, completed_at=1_757_003_661, metadata=metadata)
    manifest = with_files(build_manifest([batch], tally, prices=PRICE_LISTS["cn"]), FILES).to_dict()
    assert manifest == {
        "schema_version": 1,
        "batch_ids": ["batch_1"],
        "status": "partial",
        "model": "kimi-k2.6",
        "counts": {
            "total": 3,
            "succeeded": 2,
            "failed": 0,
            "invalid": 0,
            "truncated": 0,
            "filtered": 0,
            "expired": 1,
            "cancelled": 0,
            "missing": 0,
        },
        "usage": {
            "prompt_tokens": 30,
            "cached_tokens": 16,
            "completion_tokens": 69,
            "reasoning_tokens": 3,
            "total_tokens": 99,
        },
        "cost": {"currency": "CNY", "amount": 0.00118296, "price_list_date": "2026-09-01"},
        "rounds": 1,
        "output_file": "file:///out/output.jsonl",
        "error_file": None,
        "results_file": "file:///out/results.jsonl",
        "dead_letter_file": None,
        "input_fingerprint": "sha256:i",
        "prompt_fingerprint": "sha256:p",
        "created_at": "2025-09-04T15:33:20+00:00",
        "completed_at": "2025-09-04T16:34:21+00:00",
        "answers": {"whole": 2, "cut": 0},
        "failures": [{"status": "expired", "reason": "other", "count": 1, "sample": ["expired-0"]}],
        "plain_locations": {"output_file": "/out/output.jsonl", "results_file": "/out/results.jsonl"},
    }
    assert len(json.dumps(manifest)) < 8192


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        (Row(custom_id="a", status="succeeded", content="x"), (1, 0)),
        (Row(custom_id="a", status="invalid", content="x", error_code="schema_mismatch"), (1, 0)),
        (Row(custom_id="a", status="invalid", content="x", error_code="check"), (1, 0)),
        (Row(custom_id="a", status="invalid", content="", error_code="empty_answer", leaked=True), (1, 0)),
        (Row(custom_id="a", status="truncated", content="x", error_code="length"), (0, 1)),
        (Row(custom_id="a", status="truncated", content="", error_code="length", leaked=True), (0, 1)),
        (Row(custom_id="a", status="filtered", content="x", error_code="content_filter"), (0, 1)),
        (Row(custom_id="a", status="truncated", content=" ", error_code="length"), (0, 0)),
        (Row(custom_id="a", status="invalid", content="", error_code="empty_answer"), (0, 0)),
        (Row(custom_id="a", status="invalid", error_code="not_sent"), (0, 0)),
        (Row(custom_id="a", status="failed", error_code="server_error"), (0, 0)),
    ],
)
def test_an_answer_with_text_counts_as_whole_or_cut_whatever_became_of_it(row: Row, answers: tuple[int, int]) -> None:
    tally = Tally()
    tally.add(row)
    assert tuple(tally.answers.values()) == answers


@pytest.mark.parametrize(
    ("row", "known"),
    [
        (Row(custom_id="a", status="succeeded", content="x"), False),
        (Row(custom_id="a", status="succeeded", content="x", prompt_tokens=3), False),
        (Row(custom_id="a", status="truncated", error_code="length"), False),
        (Row(custom_id="a", status="invalid", error_code="empty_answer"), False),
        (Row(custom_id="a", status="invalid", error_code="not_sent"), True),
        (Row(custom_id="a", status="failed", error_code="server_error"), True),
        (Row(custom_id="a", status="missing", error_code="batch_completed"), True),
    ],
    ids=[
        "no tokens",
        "no completion tokens",
        "truncated without tokens",
        "empty without tokens",
        "never sent",
        "failed",
        "missing",
    ],
)
def test_the_manifest_has_no_amount_if_the_tokens_of_an_answer_are_unknown(row: Row, known: bool) -> None:
    """An unknown cost is no cost of 0."""
    tally = Tally()
    tally.add(Row(custom_id="b", status="succeeded", content="x", prompt_tokens=3, completion_tokens=2), "kimi-k2.6")
    tally.add(row, "kimi-k2.6")
    manifest = build_manifest([make_batch("completed")], tally, prices=PRICE_LISTS["cn"]).to_dict()
    assert (manifest["cost"]["amount"] is not None) is known
    assert manifest["cost"].get("reason") == (None if known else "1 answer came without token counts")


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        ({"kimi-k2.6": Usage(1_000_000)}, "1,000,000 prompt and 0 completion tokens, 3.9000 CNY"),
        ({"kimi-k9": Usage(5)}, "5 prompt and 0 completion tokens, cost not known: no price of a model is known"),
        (
            {"kimi-k2.5": Usage(5, 5)},
            "5 prompt and 0 completion tokens, cost not known: "
            "the price of cached tokens of model kimi-k2.5 is not known",
        ),
    ],
    ids=["known", "no price", "no price of cached tokens"],
)
def test_the_log_says_what_is_billed_and_why_the_cost_is_not_known(usage: dict[str | None, Usage], line: str) -> None:
    tally = tally_of(succeeded=2)
    tally.usage, tally.uncounted = usage, 0
    assert billed(build_manifest([make_batch("completed")], tally, prices=PRICE_LISTS["cn"])) == line


def test_the_manifest_names_tokens_written_to_the_cache_where_there_are_any() -> None:
    tally = tally_of(succeeded=1)
    tally.usage = {"kimi-k2.6": Usage(30, cache_write_tokens=4)}
    manifest = build_manifest([make_batch("completed")], tally, prices=PRICE_LISTS["cn"])
    assert manifest.usage["cache_write_tokens"] == 4
    assert manifest.usage["total_tokens"] == 30


def test_the_manifest_has_one_fingerprint_of_all_inputs() -> None:
    def of(*inputs: str) -> object:
        batches = [make_batch("completed", name, metadata={"kimi_input_fingerprint": name}) for name in inputs]
        return with_files(build_manifest(batches, Tally(), prices=PRICE_LISTS["cn"]), FILES).to_dict()[
            "input_fingerprint"
        ]

    assert of("a") == "a"
    assert len({of("a", "b"), of("a", "c"), of("b", "a"), of("a")}) == 4


def test_the_manifest_spans_the_times_of_all_batches() -> None:
    batches = [
        make_batch("cancelled", "b1", created_at=200, cancelled_at=900),
        make_batch("failed", "b2", created_at=100, failed_at=800, completed_at=5000),
        make_batch("expired", "b3", expires_at=1000),
    ]
    manifest = with_files(build_manifest(batches, Tally(), prices=PRICE_LISTS["cn"]), FILES).to_dict()
    assert manifest["batch_ids"] == ["b1", "b2", "b3"]
    assert manifest["created_at"] == "1970-01-01T00:01:40+00:00"
    assert manifest["completed_at"] == "1970-01-01T00:16:40+00:00"


def test_the_manifest_has_null_for_what_the_platform_does_not_say() -> None:
    manifest = with_files(build_manifest([make_batch("completed")], Tally(), prices=PRICE_LISTS["cn"]), FILES).to_dict()
    unknown = ("model", "input_fingerprint", "prompt_fingerprint", "created_at", "completed_at")
    assert {field: manifest[field] for field in unknown} == dict.fromkeys(unknown)


@pytest.mark.parametrize(
    ("asked", "answered", "model"),
    [
        pytest.param("asked", "answered", "asked", id="the one that was asked"),
        pytest.param(None, "answered", "answered", id="else the one that answered"),
    ],
)
def test_the_manifest_names_the_model(asked: str | None, answered: str, model: str) -> None:
    tally = Tally()
    tally.add(Row(custom_id="a", status="succeeded", model=answered), asked)
    assert (
        with_files(build_manifest([make_batch()], tally, prices=PRICE_LISTS["cn"]), FILES).to_dict()["model"] == model
    )


def answered(custom_id: str) -> Row:
    return Row(custom_id=custom_id, status="succeeded", prompt_tokens=1_000_000, completion_tokens=1_000_000)


@pytest.mark.parametrize("of_batches", [0, 2])
def test_answers_of_chat_calls_are_counted_apart_and_in_all(of_batches: int) -> None:
    batch, prices = make_batch("completed", request_counts=RequestCounts(3, 3, 0)), PRICE_LISTS["cn"]
    tally = Tally()
    for number in range(of_batches):
        tally.add(answered(f"b{number}"), "kimi-k2.6", 1)
    tally.realtime.asked[batch.id] = 2
    tally.add(answered("c"), "kimi-k2.6", 2, is_realtime=True)
    tally.add(Row(custom_id="d", status="failed", error_code="input"), "kimi-k2.6", 2, is_realtime=True)
    found = build_manifest([batch], tally, prices=prices)
    assert found.rounds == 2
    assert found.usage["completion_tokens"] == (of_batches + 1) * 1_000_000
    assert found.cost is not None
    assert found.cost["amount"] == pytest.approx(of_batches * (3.90 + 16.20) + 6.50 + 27.00)
    assert found.realtime is not UNSET
    assert {key: found.realtime[key] for key in ("rows", "succeeded")} == {"rows": 2, "succeeded": 1}
    assert found.realtime["usage"]["prompt_tokens"] == 1_000_000
    assert found.realtime["cost"]["amount"] == pytest.approx(6.50 + 27.00)
    assert found.by_round == [{"requests": 3, "succeeded": of_batches}, {"requests": 2, "succeeded": 1}]


def test_the_standard_rate_is_that_of_which_batches_pay_three_fifths() -> None:
    for prices in PRICE_LISTS.values():
        for model, price in prices.realtime.items():
            assert prices.models[model].output == price.output * 6 / 10
            assert prices.models[model].input == price.input * 6 / 10
