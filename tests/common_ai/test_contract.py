"""What the base class of common.ai's adapters expects, sentence by sentence of its docstrings, of ours."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import pytest
from airflow.providers.common.ai.batch import dispatch
from airflow.providers.common.ai.batch.base import BatchAdapter, BatchRequest, SubmitResult
from airflow.providers.common.ai.batch.output_schema import build_output_spec
from airflow.providers.common.ai.exceptions import (
    BatchProviderNotYetSupportedError,
    LLMBatchInputError,
    LLMBatchLimitExceededError,
    LLMBatchModelMismatchError,
)

from airflow_provider_kimi.common_ai.adapter import KimiBatchAdapter
from airflow_provider_kimi.common_ai.request_lines import index_of
from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiError
from airflow_provider_kimi.simulator import KimiSimulator
from tests.common_ai.running import BAD, GOOD, NOT_THINKING
from tests.conftest import Connect

KEY, FINGERPRINT = "0123456789abcdef", "f" * 64
TEXT = build_output_spec(str)
ASKED: dict[str, Any] = {"model": "kimi-k2.6", "output_spec": TEXT, "idempotency_key": KEY}
ASKED |= {"system_prompt": "", "max_tokens": 100, "request_params": NOT_THINKING}
REQUESTS: list[BatchRequest] = [{"prompt": GOOD}, {"prompt": BAD}]


@pytest.fixture
def adapter(sim: KimiSimulator, connect: Connect) -> Iterator[BatchAdapter]:
    """Our adapter, built as common.ai builds it."""
    connect(sim)
    built = dispatch.build_adapter("kimi", llm_conn_id="kimi_default")
    yield built
    built.close()


def submitted(adapter: BatchAdapter, fingerprint: str = FINGERPRINT) -> SubmitResult:
    return adapter.submit(REQUESTS, input_fingerprint=fingerprint, completion_window="24h", **ASKED)


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


class TestDispatch:
    def test_the_prefix_of_a_model_chooses_it(self) -> None:
        assert dispatch.get_adapter_class("kimi", "kimi:kimi-k2.6") is KimiBatchAdapter
        assert dispatch.resolve_adapter_name("pydanticai", "kimi:kimi-k2.6") == "kimi"

    def test_another_type_of_connection_is_refused(self) -> None:
        with pytest.raises(BatchProviderNotYetSupportedError):
            dispatch.get_adapter_class("http", "kimi:kimi-k2.6")

    def test_it_is_the_only_one_of_its_group_that_we_bring(self) -> None:
        (found,) = [point for point in entry_points(group=dispatch.ENTRY_POINT_GROUP) if "kimi" in point.value]
        assert (found.name, found.load()) == (KimiBatchAdapter.name, KimiBatchAdapter)

    def test_a_connection_without_a_key_is_refused(self) -> None:
        with pytest.raises(KimiConnectionConfigError, match="has no API key"):
            KimiBatchAdapter(api_key=None, base_url=None)


class TestValidate:
    """Reject an over-limit or otherwise invalid batch before any network call."""

    def test_it_makes_no_call(self, adapter: BatchAdapter, sim: KimiSimulator) -> None:
        adapter.validate_requests(REQUESTS, **ASKED)
        assert not sim.journal

    def test_the_size_limit_is_named_with_the_actual_size_and_the_remedy(
        self, adapter: BatchAdapter, sim: KimiSimulator
    ) -> None:
        requests: list[BatchRequest] = [{"prompt": "x" * 1_000_000}] * 101
        with pytest.raises(LLMBatchLimitExceededError, match=r"101,0\d\d,\d+ bytes.*100,000,000.*\.expand\(\)"):
            adapter.validate_requests(requests, **ASKED)
        assert not sim.journal

    def test_the_schema_counts_into_the_size(self, adapter: BatchAdapter) -> None:
        wide = build_output_spec(dict[str, int])
        wide.json_schema["description"] = "x" * 14_000
        requests: list[BatchRequest] = [{"prompt": "x"}] * 7_200
        adapter.validate_requests(requests, **ASKED)
        with pytest.raises(LLMBatchLimitExceededError):
            adapter.validate_requests(requests, **{**ASKED, "output_spec": wide})

    def test_the_number_limit_is_named(self, adapter: BatchAdapter) -> None:
        requests = REQUESTS[:1] * (adapter.max_requests + 1)
        with pytest.raises(LLMBatchLimitExceededError, match=r"1,000,001 requests.*1,000,000.*\.expand\(\)"):
            adapter.validate_requests(requests, **ASKED)

    def test_an_id_that_would_be_too_long_is_refused(self, adapter: BatchAdapter) -> None:
        with pytest.raises(LLMBatchLimitExceededError):
            adapter.validate_requests(REQUESTS, **{**ASKED, "idempotency_key": "k" * 64})

    def test_a_model_of_another_provider_is_refused(self, adapter: BatchAdapter) -> None:
        requests: list[BatchRequest] = [{"prompt": GOOD, "model": "openai:gpt-5"}]
        with pytest.raises(LLMBatchModelMismatchError):
            adapter.validate_requests(requests, **ASKED)

    def test_every_refusal_is_an_input_error_of_common_ai(self, adapter: BatchAdapter) -> None:
        with pytest.raises(LLMBatchInputError):
            adapter.validate_requests(REQUESTS, **{**ASKED, "request_params": {"n": 2}})


class TestBatches:
    def test_submit_records_both_keys_and_the_orphan_is_found_by_them(
        self, adapter: BatchAdapter, sim: KimiSimulator
    ) -> None:
        made = submitted(adapter)
        assert adapter.find_orphaned_batch(KEY, FINGERPRINT, ago(minutes=1)) == made.batch_id
        assert adapter.find_orphaned_batch("another key", FINGERPRINT, ago(minutes=1)) is None
        assert adapter.find_orphaned_batch(KEY, "0" * 64, ago(minutes=1)) is None
        assert made.provider_input_ref in sim.file_ids("batch")

    def test_an_orphan_is_no_older_than_the_intent(self, adapter: BatchAdapter) -> None:
        submitted(adapter)
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert adapter.find_orphaned_batch(KEY, FINGERPRINT, later) is None

    def test_an_orphan_is_found_without_a_time(self, adapter: BatchAdapter) -> None:
        assert adapter.find_orphaned_batch(KEY, FINGERPRINT, "") is None
        assert adapter.find_orphaned_batch(KEY, FINGERPRINT, "") != submitted(adapter).batch_id
        assert adapter.find_orphaned_batch(KEY, FINGERPRINT, "") is not None

    @pytest.mark.parametrize("status", ["in_progress", "cancelled"])
    def test_of_two_orphans_the_older_counts_and_the_other_does_not_go_on(
        self, adapter: BatchAdapter, sim: KimiSimulator, connect: Connect, status: str
    ) -> None:
        """A create was sent twice, since its answer was lost, and the worker died before they were told apart."""
        first, hook = submitted(adapter).batch_id, connect(sim)
        sim.advance(2)
        twin = hook.create_batch(sim.batches[first].input_file_id, metadata=sim.batches[first].metadata).id
        if status == "cancelled":
            hook.cancel_batch(twin)
        assert adapter.find_orphaned_batch(KEY, FINGERPRINT, "") == first
        assert sim.status(twin).startswith("cancel")
        assert not sim.status(first).startswith("cancel")

    def test_of_orphans_that_ended_early_the_newest_counts(
        self, adapter: BatchAdapter, sim: KimiSimulator, connect: Connect
    ) -> None:
        first, hook = submitted(adapter).batch_id, connect(sim)
        sim.advance(2)
        newest = hook.create_batch(sim.batches[first].input_file_id, metadata=sim.batches[first].metadata).id
        for batch_id in (first, newest):
            hook.cancel_batch(batch_id)
        assert adapter.find_orphaned_batch(KEY, FINGERPRINT, "") == newest

    def test_a_lookup_that_fails_raises(self, adapter: BatchAdapter, sim: KimiSimulator) -> None:
        sim.inject("list_batches", status=403, message="no")
        with pytest.raises(KimiError):
            adapter.find_orphaned_batch(KEY, FINGERPRINT, ago(minutes=1))

    def test_the_states_of_a_batch_are_those_of_common_ai(self, adapter: BatchAdapter, sim: KimiSimulator) -> None:
        batch_id = submitted(adapter).batch_id
        seen = [adapter.get_batch(batch_id).status]
        for seconds in (5, 10, 30):
            sim.advance(seconds)
            seen.append(adapter.get_batch(batch_id).status)
        assert seen == ["in_progress", "in_progress", "in_progress", "completed"]
        assert adapter.get_batch(batch_id).counts == {"succeeded": 2, "errored": 0, "expired": 0, "cancelled": 0}

    def test_a_cancel_is_asked_for_and_one_that_came_too_late_is_no_error(
        self, adapter: BatchAdapter, sim: KimiSimulator
    ) -> None:
        batch_id = submitted(adapter).batch_id
        adapter.cancel_batch(batch_id)
        assert sim.status(batch_id) == "cancelling"
        sim.advance(60)
        adapter.cancel_batch(batch_id)
        assert adapter.get_batch(batch_id).status == "cancelled"

    def test_a_failure_raises_when_results_are_asked_for_not_when_they_are_read(
        self, adapter: BatchAdapter, sim: KimiSimulator
    ) -> None:
        batch_id = submitted(adapter).batch_id
        sim.advance(3600)
        sim.inject("get_batch", status=400, message="no")
        with pytest.raises(KimiError):
            adapter.iter_results(batch_id)
        assert sorted(item.index for item in adapter.iter_results(batch_id)) == [0, 1]

    def test_close_can_be_called_twice(self, adapter: BatchAdapter) -> None:
        adapter.close()
        adapter.close()


@pytest.mark.parametrize(
    ("custom_id", "key", "place"),
    [
        (f"{KEY}-0", KEY, 0),
        (f"{KEY}-12", None, 12),
        ("another-0", KEY, -1),
        ("0", KEY, -1),
        (f"{KEY}-00", KEY, -1),
        (f"{KEY}-", KEY, -1),
        (f"{KEY}-\u0661", KEY, -1),
    ],
)
def test_only_an_id_of_the_task_itself_names_a_place(custom_id: str, key: str | None, place: int) -> None:
    assert index_of(custom_id, key) == place


def test_text_needs_no_directive_and_a_type_needs_a_schema(adapter: BatchAdapter) -> None:
    assert adapter.build_output_directive(TEXT) == {}
    asked = adapter.build_output_directive(build_output_spec(int))
    assert asked["response_format"]["json_schema"]["schema"]["required"] == ["response"]


def test_the_base_has_the_methods_that_were_known_when_this_was_written() -> None:
    assert BatchAdapter.__abstractmethods__ == {
        *("validate_requests", "submit", "get_batch", "cancel_batch", "iter_results"),
        *("build_output_directive", "extract_output", "find_orphaned_batch"),
    }
