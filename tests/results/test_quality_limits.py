"""Limits on agreement and drift decide as they are written, and say what is the case."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.drift import Before, drift_of
from airflow_provider_kimi.results.quality_limits import QualityLimits, not_good_enough, quality_said, unknown_gold


def result(agreed: int, compared: int, **more: Any) -> Manifest:
    gold = {"column": "label", "rows": compared, "compared": compared, "unanswered": 0, "unknown": 0, "agreed": agreed}
    return Manifest(batch_ids=["batch_1"], gold={**gold, "agreement": agreed / compared if compared else None, **more})


def moved(now: dict[str, int], before: dict[str, int]) -> Manifest:
    found = drift_of(now, Before(before, "2026-11-29T03:00:00+00:00"))
    assert found is not None
    return Manifest(batch_ids=["batch_1"], drift=found)


@given(st.integers(1, 100), st.integers(1, 10_000))
def test_a_share_that_is_just_met_is_met(percent: int, hundreds: int) -> None:
    limits = QualityLimits.read(percent / 100, None)
    assert limits.breaches(result(percent * hundreds, 100 * hundreds)) == []
    assert len(limits.breaches(result(percent * hundreds - 1, 100 * hundreds))) == 1


@given(st.integers(0, 99), st.integers(1, 10_000))
def test_a_drift_that_is_just_allowed_is_allowed(percent: int, hundreds: int) -> None:
    limits, rows = QualityLimits.read(None, str(percent / 100)), 100 * hundreds
    other = percent * hundreds
    assert limits.breaches(moved({"a": rows - other, "b": other}, {"a": 1})) == []
    assert len(limits.breaches(moved({"a": rows - other - 1, "b": other + 1}, {"a": 1}))) == 1


def test_too_little_agreement_and_too_much_drift_are_said_with_their_numbers() -> None:
    limits = QualityLimits.read(0.9, 0.1)
    assert limits.breaches(result(41, 50)) == [
        "41 of 50 answers agree with gold labels in 'label' (82.00%), which is less than min_agreement=0.9"
    ]
    assert limits.breaches(
        Manifest(batch_ids=["b"], gold=result(9, 10).gold, drift=moved({"a": 3, "b": 1}, {"a": 1, "b": 1}).drift)
    ) == [
        "the shares of labels have moved by 0.2500 since 2026-11-29T03:00:00+00:00 ('a' from 50.0% to 75.0%, 'b' from "
        "50.0% to 25.0%), which is more than max_drift=0.1"
    ]


@pytest.mark.parametrize("manifest", [Manifest(batch_ids=["b"]), result(0, 0)])
def test_an_agreement_that_nothing_shows_is_not_met(manifest: Manifest) -> None:
    assert QualityLimits.read("0.9", None).breaches(manifest) == [
        "no answer was compared with a gold label, and min_agreement=0.9"
    ]


def test_a_first_result_has_not_moved() -> None:
    assert QualityLimits.read(None, 0.0).breaches(Manifest(batch_ids=["b"])) == []


@pytest.mark.parametrize("given", ["much", 1.5, -0.1, True, "nan", {"a": 1}])
def test_what_is_no_share_is_refused(given: Any) -> None:
    with pytest.raises(KimiInputError, match="min_agreement is .*a share from 0 to 1"):
        QualityLimits.read(given, None)
    with pytest.raises(KimiInputError, match="max_drift is"):
        QualityLimits.read(None, given)


def test_a_template_may_say_that_there_is_no_limit() -> None:
    assert QualityLimits.read("None", "0.25") == QualityLimits(None, 0.25)


def test_the_message_says_what_is_true_now_and_what_to_do() -> None:
    message = not_good_enough(["one", "two"], ["batch_1"])
    assert message.startswith("The answers are not as they have to be: one; two. Every row is landed, and billed")
    assert message.endswith("Batches: batch_1.")


def test_the_log_says_how_many_agree_and_which_gold_labels_are_unknown() -> None:
    manifest = result(41, 50, unanswered=3, unknown=2, changed=1, rows=56)
    assert quality_said(manifest) == (
        "41 of 50 answers agree with gold labels in 'label' (82.00%). 3 rows with one have no usable answer. 1 ask "
        "something else by now."
    )
    assert unknown_gold(manifest).startswith("2 of 56 gold labels in 'label' are none of the labels of output_schema")
    assert unknown_gold(result(1, 1)) == quality_said(Manifest(batch_ids=["b"])) == ""
    assert quality_said(moved({"a": 1}, {"a": 1})) == (
        "The shares of labels have moved by 0.0000 since 2026-11-29T03:00:00+00:00."
    )
