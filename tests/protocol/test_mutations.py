"""The protocol without one of its rules has to fail, or the checker sees nothing.

These tests alone put other functions in the place of ours: what they show is that each rule is needed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.cancel import cancel_batches
from airflow_provider_kimi.records.shard_names import ShardName
from airflow_provider_kimi.submission import attach, create, cuts, settle, submit
from airflow_provider_kimi.submission.earlier_work import EarlierWork
from airflow_provider_kimi.submission.job import Job
from airflow_provider_kimi.submission.settle import Made, Uploaded
from tests.protocol import actors
from tests.protocol.explore import Schedules
from tests.protocol.promises import BrokenPromise
from tests.protocol.test_protocol import ALONE, HOLDS
from tests.protocol.world import World


def breaks(world: World) -> str:
    """How a world breaks a promise."""
    with pytest.raises(BrokenPromise) as caught:
        Schedules(world).explore()
    return str(caught.value)


def test_the_checker_finds_a_lost_create_that_is_looked_for_by_its_input_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutated: older batches of the same file are taken for this call, in whatever status."""

    def by_input_file(job: Job, shard: Uploaded, *_: object) -> Batch | None:
        found = job.find(lambda batch: batch.input_file_id == shard.file_id).batches
        return min(found, key=lambda batch: batch.created_at or 0, default=None)

    monkeypatch.setattr(create, "_search_for", by_input_file)
    assert "which it did not make" in breaks(replace(ALONE, kills=0, older="completed", reuse="never"))


def test_the_checker_finds_a_batch_that_is_not_provisional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutated: a batch is kept although the list does not show even that one."""

    def trusting(job: Job, made: Made) -> None:
        settle.settle(job, replace(made, unsure=set()))

    monkeypatch.setattr(submit, "settle", trusting)
    assert "do the same work" in breaks(HOLDS["list shows nothing, a kill"])


def test_the_checker_finds_cancels_of_what_siblings_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutated: duplicates are cancelled whoever made them."""

    def ruthless(job: Job, earlier: EarlierWork, own: object = ()) -> None:
        cancel_batches(job.calls, [batch.id for batch in (*earlier.duplicates, *earlier.others_duplicates)])

    for module in (attach, settle):
        monkeypatch.setattr(module, "cancel_duplicates", ruthless)
    assert "and is waited for" in breaks(HOLDS["siblings, a kill, list lags 30 s"])


def test_the_checker_finds_a_list_that_decides_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutated: the files that earlier attempts have uploaded say nothing."""

    def nothing(*_: Any) -> dict[str, list[str]]:
        return {}

    monkeypatch.setattr(attach, "_uploaded_before", nothing)
    assert "do the same work" in breaks(HOLDS["list shows nothing, a kill"])


def test_the_checker_finds_waits_that_look_for_no_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutated: a create that is carried out long after it was lost is looked for by nobody."""
    monkeypatch.setattr(actors, "LOOKS_SECONDS", ())
    assert "do the same work" in breaks(replace(ALONE, kills=0))


def test_the_checker_finds_a_rule_by_which_the_whole_of_a_shard_always_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutated: also where another attempt had made all parts of it before, and waits for them."""

    def never(wanted: ShardName, usable: Sequence[Any]) -> bool:
        return all(each.name != wanted for each in usable)

    monkeypatch.setattr(cuts, "_held_first_by_parts", never)
    assert "and is waited for" in breaks(HOLDS["a retry halves, taken for dead"])
