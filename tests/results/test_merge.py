"""Which of two outcomes of a row counts, and what two results come to."""

from itertools import product

import pytest

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import InputChange, Row, absent_row, skipped_row
from airflow_provider_kimi.results.merge import Fate, Merged, fate_of, merged_manifest
from airflow_provider_kimi.results.tally import Tally

#: Outcomes, in the order of what they are worth; those of one line are worth the same.
WORTHS = [
    [
        absent_row("a", "expired"),
        absent_row("a", "failed"),
        Row(custom_id="a", status="failed", error_code="server_error"),
    ],
    [
        Row(custom_id="a", status="filtered", error_code="content_filter"),
        Row(custom_id="a", status="invalid", error_code="empty_answer"),
        Row(custom_id="a", status="truncated", error_code="length", content=" "),
    ],
    [Row(custom_id="a", status="truncated", error_code="length", content="posi")],
    [
        Row(custom_id="a", status="invalid", error_code="schema_mismatch", content="perhaps"),
        Row(custom_id="a", status="invalid", error_code="check", content="no"),
    ],
    [Row(custom_id="a", status="succeeded", content="positive")],
]
RANKED = [(worth, row) for worth, rows in enumerate(WORTHS) for row in rows]


@pytest.mark.parametrize(("old", "new"), [*product(RANKED, RANKED)])
def test_the_outcome_that_is_worth_more_counts_and_of_two_equal_ones_the_new_one(
    old: tuple[int, Row], new: tuple[int, Row]
) -> None:
    taken: Fate = "taken" if new[0] >= old[0] else "not_better"
    usable = old[1].status == "succeeded"
    assert fate_of(old[1], new[1], None) == ("had_answer" if usable else taken)


@pytest.mark.parametrize("change", ["changed", "removed", "not_compared"])
def test_an_answer_to_something_else_is_never_taken(change: InputChange) -> None:
    for (_, old), (_, new) in product(RANKED, RANKED):
        assert fate_of(old, new, change) in ("asks_other", "had_answer")


def test_a_row_that_was_never_sent_keeps_its_first_reason() -> None:
    row = skipped_row("a", "line 7", "is empty")
    assert fate_of(row, skipped_row("a", "line 1", "was never sent"), None) == "not_better"


def test_a_manifest_without_counts_of_answers_is_merged_without_them() -> None:
    earlier = Manifest(batch_ids=["a"], counts={"total": 1, "succeeded": 0})
    new = Manifest(batch_ids=["b"], answers={"whole": 1, "cut": 0})
    merged = Merged(Tally())
    merged.tally.add(Row(custom_id="a", status="succeeded"))
    merged.fates["taken"] += 1
    found = merged_manifest(earlier, new, merged, [{"requests": 1, "succeeded": 1}], None).to_dict()
    assert "answers" not in found
    assert (found["batch_ids"], found["status"], found["rounds"]) == (["a", "b"], "completed", 2)


def test_more_than_two_results_add_up_round_by_round() -> None:
    rounds = [{"requests": 9, "succeeded": 5}, {"requests": 4, "succeeded": 1}]
    earlier = Manifest(batch_ids=["a", "b"], counts={"total": 9, "succeeded": 6}, rounds=2, by_round=rounds)
    new = Manifest(batch_ids=["c"], usage={"prompt_tokens": 2, "cache_write_tokens": 1})
    found = merged_manifest(earlier, new, Merged(Tally()), [{"requests": 3, "succeeded": 3}], None)
    assert found.rounds == 3
    assert found.by_round == [*rounds, {"requests": 3, "succeeded": 3}]
    assert found.usage == {"prompt_tokens": 2, "cache_write_tokens": 1}


def test_what_is_set_aside_is_said_in_numbers() -> None:
    merged = Merged(Tally())
    merged.fates.update({"taken": 3, "not_better": 2, "had_answer": 1_000, "added": 2})
    assert merged.set_aside == "1,000 have a usable answer there, 2 are not there"
