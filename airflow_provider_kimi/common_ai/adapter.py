"""The batch adapter that common.ai loads for `model_id="kimi:..."`, by its entry point.

It decides nothing itself: requests go through the checks, limits and creates of the operators of this package, and
answers through their reader of lines. common.ai keeps the state, polls and writes its results.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

try:
    from airflow.providers.common.ai.batch.base import (
        BatchAdapter,
        BatchState,
        ExtractedOutput,
        RawResultItem,
        SubmitResult,
    )
except ImportError:
    raise ImportError(
        "The provider common.ai has no batches here: it is not installed, or older than 1.0. Nothing was sent. Install "
        "it with: pip install 'airflow-provider-kimi[common-ai]'"
    ) from None

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.api.settings import read_settings
from airflow_provider_kimi.calls.cancel import cancel_batch
from airflow_provider_kimi.calls.fetch import FILE_PAUSES_SECONDS, fetch_file, may_come_late
from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.choices import Reuse
from airflow_provider_kimi.common_ai.errors import KimiLLMBatchLimitError, KimiLLMBatchModelError, common_ai_errors
from airflow_provider_kimi.common_ai.request_lines import (
    Asked,
    key_of,
    order_of,
    pairs_of,
    request_lines,
    with_own_definitions,
)
from airflow_provider_kimi.common_ai.result_items import item_of, output_of, state_of
from airflow_provider_kimi.compat import running_context
from airflow_provider_kimi.context import read_attempt, wants_fresh
from airflow_provider_kimi.exceptions import KimiBatchError, KimiError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.kills.cancels import KILL_SECONDS, pause_before_next
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.tags import TaskIdentity
from airflow_provider_kimi.results.answer_files import AnswerFiles
from airflow_provider_kimi.results.batch_files import LATER_PAUSES_SECONDS, read_ended_batches
from airflow_provider_kimi.results.promises import still_to_come
from airflow_provider_kimi.results.shortfall import shortfall
from airflow_provider_kimi.submission.earlier_work import by_age, choose, is_lost, newest_work
from airflow_provider_kimi.submission.identity import Attempt
from airflow_provider_kimi.submission.job import Job, search_account
from airflow_provider_kimi.submission.submit import checked_job, make_batches

if TYPE_CHECKING:
    from airflow.providers.common.ai.batch.base import BatchRequest
    from airflow.providers.common.ai.batch.output_schema import OutputSpec

_log = logging.getLogger(__name__)

#: How far the clock of a worker may be ahead of the platform's.
_CLOCK_MARGIN_SECONDS = 300.0


class _GivenHook(KimiHook):
    """A hook on a connection that common.ai has read: it gives adapters a key and an address alone."""

    def __init__(self, api_key: str | None, base_url: str | None) -> None:
        super().__init__("llm_conn_id")
        self._settings = read_settings(self.kimi_conn_id, host=base_url, port=None, password=api_key, extra=None)


class KimiBatchAdapter(BatchAdapter):
    """Runs `@task.llm_batch(model_id="kimi:...")` and `LLMBatchOperator` on Kimi's Batch API.

    common.ai gives an adapter the key and the base URL of the connection only, so a region other than `cn`, or a
    gateway, has to be in the connection's base URL; the rest of its extra has no effect.

    :param api_key: The key.
    :param base_url: Where calls go, such as `https://api.moonshot.ai/v1`; None for region `cn`.
    :param client: A hook to use instead of these; None makes one.
    """

    name = "kimi"
    conn_types = frozenset({"kimi", "pydanticai"})
    max_requests = 1_000_000  # the platform names no most: so many of the smallest ones fill a file
    max_payload_bytes = MAX_FILE_BYTES
    allows_per_request_model = False

    def __init__(
        self, *, api_key: str | None = None, base_url: str | None = None, client: KimiHook | None = None
    ) -> None:
        super().__init__(client=client or _GivenHook(api_key, base_url))
        self._hook: KimiHook = self._client
        self._calls = Calls(self._hook, _log)
        self._at_once = Calls(self._hook, _log, is_patient=False)
        self._folders: list[TemporaryDirectory[str]] = []

    def validate_requests(
        self,
        requests: "list[BatchRequest]",
        *,
        model: str,
        output_spec: "OutputSpec",
        idempotency_key: str,
        **kwargs: Any,
    ) -> None:
        """Make and check every request as it would be sent; refuse what the platform would refuse.

        :raises KimiLLMBatchInputError: Says which request, why, and what to do. Nothing was sent.
        """
        asked = self._asked(model, output_spec, kwargs)
        with common_ai_errors(), self._checked(requests, asked, idempotency_key, ""):
            pass

    def submit(
        self,
        requests: "list[BatchRequest]",
        *,
        model: str,
        idempotency_key: str,
        input_fingerprint: str,
        output_spec: "OutputSpec",
        **kwargs: Any,
    ) -> SubmitResult:
        """Upload the requests and create their batch, once.

        A batch of the same task instance and input that runs or completed is attached to, whoever has forgotten it. A
        run whose conf has `kimi_force_fresh` pays again.

        :raises KimiError: The platform refused, or the fate of the create is unknown.
        """
        asked = self._asked(model, output_spec, kwargs)
        window = kwargs.get("completion_window") or "24h"
        with (
            common_ai_errors(),
            self._checked(requests, asked, idempotency_key, input_fingerprint, window) as (
                job,
                workshop,
            ),
        ):
            batch = make_batches(job, workshop).in_order()[-1]
        assert isinstance(batch, Batch)  # nothing is left for later where a task does not wait for room
        return SubmitResult(batch.id, batch.input_file_id)

    def _asked(self, model: str, spec: "OutputSpec", given: Mapping[str, Any]) -> Asked:
        chosen = {name: given[name] for name in ("system_prompt", "max_tokens", "request_params") if name in given}
        return Asked(model, self.build_output_directive(spec), **chosen)

    @contextmanager
    def _checked(
        self, requests: "Sequence[BatchRequest]", asked: Asked, key: str, fingerprint: str, window: str = "24h"
    ) -> Iterator[tuple[Job, Path]]:
        self.check_custom_id_length(key, len(requests))
        if len(requests) > self.max_requests:
            raise KimiLLMBatchLimitError(
                f"There are {len(requests):,} requests; one batch takes at most {self.max_requests:,}. Nothing was "
                "sent. Split the input with .expand()."
            )
        models = [
            self.resolve_request_model(request.get("model"), default_bare_model=asked.model, request_index=index)
            for index, request in enumerate(requests)
        ]
        if len(distinct := sorted(set(models))) > 1:
            raise KimiLLMBatchModelError(
                f"The requests name {len(distinct)} models ({', '.join(distinct)}); a batch of Kimi has one. Nothing "
                "was sent. Give each model a task of its own."
            )
        context = running_context()
        attempt = read_attempt(context) if context else Attempt(TaskIdentity("llm_batch", key, "llm_batch"))
        reuse: Reuse = "never" if context and wants_fresh(context) else "auto"
        lines = partial(request_lines, requests, models, asked, key)
        order = order_of(lines, models[0], pairs_of(key, fingerprint), reuse, window)
        with checked_job(self._calls, order, attempt) as (job, workshop):
            if job.batch_count > 1:
                size = sum(shard.content.size for shard in job.shards)
                raise KimiLLMBatchLimitError(
                    f"The {len(requests):,} requests make {size:,} bytes; one batch takes at most "
                    f"{self.max_payload_bytes:,}. Nothing was sent. Split the input with .expand(), or give it to a "
                    "KimiBatchOperator, which makes several batches."
                )
            yield job, workshop

    def get_batch(self, batch_id: str) -> BatchState:
        """Read how a batch stands. Only one that is not known is asked for again, since it may be new."""
        with common_ai_errors():
            batch = self._at_once.read_batch(batch_id)
            why = None
            if batch.status == "failed":
                short = shortfall(self._at_once, BatchEvent("ended", {batch.id: BatchEnd.of(batch)}))
                why = " ".join(short) if short else None
            return state_of(batch, why)

    def cancel_batch(self, batch_id: str) -> None:
        """Cancel a batch, for about a minute if the platform refuses for the time being.

        One that has ended, or whose results are being assembled, is left alone.
        """
        end, turn = time.monotonic() + KILL_SECONDS, 0
        while True:
            try:
                cancel_batch(self._at_once, batch_id)
                return
            except KimiError as error:
                pause = pause_before_next([error], turn)
                if not error.retryable or time.monotonic() + pause >= end:
                    raise
                self._at_once.pause_after(error, pause)
            turn += 1

    def iter_results(self, batch_id: str) -> Iterator[RawResultItem]:
        """Download the files of a batch that has ended, whole, and return its answers, one for each request.

        :raises KimiError: A file cannot be had, or did not come whole. Nothing is lost.
        """
        with common_ai_errors():
            (batch,) = read_ended_batches(self._calls, [batch_id])
            if lack := still_to_come([batch]):
                _log.warning("%s", lack)
            folder = TemporaryDirectory(prefix="kimi-results-")
            self._folders.append(folder)
            return self._items(batch, Path(folder.name))

    def _items(self, batch: Batch, folder: Path) -> Iterator[RawResultItem]:
        pauses = FILE_PAUSES_SECONDS if may_come_late(self._calls, batch) else LATER_PAUSES_SECONDS
        paths: dict[str, Path | None] = {"output": None, "error": None}
        owed = {"output": (batch.output_file_id, batch.counts.completed)}
        owed["error"] = (batch.error_file_id, batch.counts.failed)
        lines = 0
        for kind, (file_id, expected) in owed.items():
            if file_id:
                path = paths[kind] = folder / kind
                is_paid = kind == "output"
                lines += fetch_file(
                    self._calls, file_id, path, expected_lines=expected, pauses=pauses, names_requests=is_paid
                ).lines
        return _rows_of(paths["output"], paths["error"], lines, key_of(batch.metadata))

    def build_output_directive(self, spec: "OutputSpec") -> dict[str, Any]:
        """Ask for answers by a JSON Schema, which is sent in a form that Kimi takes; nothing for text."""
        if not spec.is_structured:
            return {}
        schema = {"name": spec.schema_name, "schema": with_own_definitions(spec.json_schema), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}

    def extract_output(self, raw: RawResultItem, spec: "OutputSpec") -> ExtractedOutput:
        """Take the answer out of an item; one that is cut, filtered or empty is absent."""
        return output_of(raw.raw, is_structured=spec.is_structured)

    def find_orphaned_batch(self, idempotency_key: str, input_fingerprint: str, not_before: str) -> str | None:
        """Find the batch that an earlier attempt has created without noting it.

        Of several, the one counts that our operators choose too, and those that race with it are cancelled. The newest
        counts where all of them ended early.

        :raises KimiError: The list could not be read, or not to its end, so that nothing is known.
        """
        since = datetime.fromisoformat(not_before).timestamp() - _CLOCK_MARGIN_SECONDS if not_before else None
        wanted = pairs_of(idempotency_key, input_fingerprint).items()

        def matches(batch: Batch) -> bool:
            is_recent = since is None or batch.created_at is None or batch.created_at >= since
            return is_recent and wanted <= (batch.metadata or {}).items()

        with common_ai_errors():
            search = search_account(self._calls, matches, since=since, is_proof=True)
            if search.batches:
                return self._chosen(search.batches).id
            if search.gap:
                raise KimiBatchError(
                    f"Whether an earlier attempt has created its batch is not known: {search.gap}. This attempt has "
                    "sent nothing. Look for it on the console before you submit again.",
                    retryable=not search.is_stuck,
                )
        return None

    def _chosen(self, found: Sequence[Batch]) -> Batch:
        usable = [batch for batch in found if not is_lost(batch)]
        if not usable:
            return max(found, key=by_age)
        racing = newest_work(sorted(usable, key=by_age))
        chosen = choose(racing)
        for spare in racing:
            if spare.id == chosen.id or not spare.is_cancellable:
                continue
            _log.warning("Cancelling batch %s: batch %s is the same work.", spare.id, chosen.id)
            try:
                cancel_batch(self._calls, spare.id, spare)
            except KimiError as error:
                _log.warning("It could not be cancelled, and is billed: %s", error)
        return chosen

    def close(self) -> None:
        """Close the client, and delete what was downloaded."""
        for folder in self._folders:
            folder.cleanup()
        self._hook.close()


def _rows_of(output: Path | None, error: Path | None, lines: int, key: str | None) -> Iterator[RawResultItem]:
    with AnswerFiles([output], [error], lines) as answers:
        if answers.unreadable:
            _log.warning("%s lines of the files of this batch name no request, and are left out.", answers.unreadable)
        if answers.batch_error is not None:
            _log.warning("The platform says of the batch as a whole: %s", answers.batch_error.error_code)
        yield from (item_of(row, key) for row in answers.left_rows())
