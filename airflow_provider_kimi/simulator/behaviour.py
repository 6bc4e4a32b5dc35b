"""What a user of the simulator sets: the clock, how long batches take, and what the documentation leaves open."""

from dataclasses import dataclass
from time import time
from typing import Literal

from airflow_provider_kimi.simulator.schema_dialect import SchemaLevel


@dataclass(frozen=True)
class Timing:
    """How long a batch stays in each state, in simulated seconds."""

    validating_seconds: float = 3.0
    working_seconds: float = 20.0
    finalizing_seconds: float = 2.0
    cancelling_seconds: float = 5.0


@dataclass(frozen=True)
class Behaviour:
    """One switch for each point that the platform's documentation leaves open or that its sources dispute.

    The defaults follow the user's guide, then the official documentation.

    :param success_status_code: `response.status_code` of a row that worked: 200 as documented, 0 as two clients
        recorded, None to leave the key out.
    :param error_shape: How an error line spells its error: `error` (code and message), `type` (type and
        message), `text` (a bare string), `response` (status and body of the refused request), `empty` (status 0
        and an empty body).
    :param empty_file_id: How an absent file id is written: `null`, `empty` (`""`) or `absent` (no key).
    :param line_errors: Whether faulty lines turn the batch `failed` later, or are `refused` at once with a 400.
    :param forbidden_keys: What a forbidden body key or `stream` does: fail the `batch`, fail the `row`, or `ignore`.
    :param schema_level: How strictly the JSON Schemas of `response_format` and `tools` are checked against Moonshot's
        own dialect: `ultra` as its documentation says, `strict` without what the server may let pass, `off` not at all.
    :param refused_schemas: What a schema outside of it does in a batch: fail the `row`, or the `batch`.
    :param custom_id_pattern: Regular expression that every whole `custom_id` must match.
    :param max_lines: Most lines of an input file; None for no limit.
    :param max_active_batches: Most batches that have not ended; None for no limit.
    :param max_queued_rows: Most rows of all batches that have not ended; None for no limit.
    :param full_queue: What becomes of a batch over one of these: its create is `refused` with a 429, or it is accepted
        and `failed` later.
    :param lacking_money: The same for a batch that the balance does not allow.
    :param expired_output: Whether the rows of an expired batch that were done can be downloaded.
    :param cancelled_output: The same for a cancelled batch.
    :param unfinished_rows: Whether rows that never started are `absent` from the files, or lines in the `error_file`.
    :param cancel_in_finalizing: Whether a cancel is accepted while results are assembled.
    :param cancel_again_status: HTTP status of a cancel while `cancelling`.
    :param starve_below_tokens: A cap on the answer (`max_completion_tokens`, `max_tokens`) below this number of tokens
        is used up by thinking: the answer comes empty, with `finish_reason` `length`. None: never.
    :param shuffle_output: Whether output lines come in another order than the input.
    :param final_newline: Whether result files end with a newline.
    :param null_request_counts: Whether `request_counts` is null.
    :param list_order: Order of `GET /batches`: `newest_first`, `oldest_first`, or `running_first`, which shows the
        batches that have not ended before the others, each group newest first.
    :param list_after: What `after` does in `GET /batches`: it is `honored`, or `ignored`, so that every page is page
        one, or every page behind the first is `empty`.
    :param has_more: What `GET /batches` says of further pages: it is `honest`, leaves the key `absent`, or always says
        `false`.
    :param list_metadata: Whether rows of `GET /batches` show their `metadata`; it is null otherwise.
    :param list_created_at: The same for `created_at`.
    :param list_input_file: The same for `input_file_id`.
    :param empty_list: Whether the `data` of a list without rows is `empty` (`[]`) or `null`.
    :param list_lag_seconds: How long after its create a batch is missing from `GET /batches`; its id works at once.
    :param batch_lag_seconds: How long after its create `GET /batches/{id}` answers 404 for a batch.
    :param file_lag_seconds: How long after its upload a file is unknown to `POST /batches`.
    :param stale_read_seconds: `GET /batches/{id}` and `GET /batches` show each batch as it was this long ago; a younger
        one as it was created.
    :param late_file_seconds: How long after a batch ended its `output_file_id` and `error_file_id` stay absent; its
        status and its counts are final at once.
    :param max_list_limit: Largest page of `GET /batches`.
    :param refused_limit: A `limit` of `GET /batches` above this gets a 400; None lets any limit pass.
    :param unknown_after: What `GET /batches` behind an unknown id answers: the `first_page`, an `empty` page, or
        `refused` with a 400.
    :param result_files_listed: Whether output and error files show up in `GET /files` and count.
    :param result_retention_seconds: How long output and error files are kept; None for ever.
    :param file_access: Who may download or delete a file, or use it for a batch: the `organization`, or only the key of
        its `uploader`. A result file belongs to the key that created its batch. `GET /files` shows every file to all.
    :param reserve_balance: Whether a batch fails whose worst-case price exceeds the balance.
    :param calls_per_minute: Most calls in a simulated minute; more get a 429. None for no limit.
    :param retry_after_seconds: What the `retry-after` header of that 429 says; None: the honest time.
    :param retry_after_date: Whether `retry-after` is written as an HTTP date instead of seconds.
    :param chats_at_once: Most chat calls that may be under way; more get a 429. None for no limit.
    :param batch_models: Models that a batch may use.
    :param models: Models of `GET /models`.
    """

    success_status_code: int | None = 200
    error_shape: Literal["error", "type", "text", "response", "empty"] = "error"
    empty_file_id: Literal["null", "empty", "absent"] = "null"
    line_errors: Literal["failed", "refused"] = "failed"
    forbidden_keys: Literal["batch", "row", "ignore"] = "batch"
    schema_level: SchemaLevel = "ultra"
    refused_schemas: Literal["row", "batch"] = "row"
    custom_id_pattern: str = ".+"
    max_lines: int | None = None
    max_active_batches: int | None = None
    max_queued_rows: int | None = None
    full_queue: Literal["refused", "failed"] = "refused"
    lacking_money: Literal["refused", "failed"] = "failed"
    expired_output: bool = True
    cancelled_output: bool = True
    unfinished_rows: Literal["absent", "error_file"] = "absent"
    cancel_in_finalizing: bool = False
    cancel_again_status: Literal[200, 400] = 400
    starve_below_tokens: int | None = 1500
    shuffle_output: bool = True
    final_newline: bool = True
    null_request_counts: bool = False
    list_order: Literal["newest_first", "oldest_first", "running_first"] = "newest_first"
    list_after: Literal["honored", "ignored", "empty"] = "honored"
    has_more: Literal["honest", "absent", "false"] = "honest"
    list_metadata: bool = True
    list_created_at: bool = True
    list_input_file: bool = True
    empty_list: Literal["empty", "null"] = "empty"
    list_lag_seconds: float = 0.0
    batch_lag_seconds: float = 0.0
    file_lag_seconds: float = 0.0
    stale_read_seconds: float = 0.0
    late_file_seconds: float = 0.0
    max_list_limit: int = 100
    refused_limit: int | None = None
    unknown_after: Literal["first_page", "empty", "refused"] = "first_page"
    result_files_listed: bool = True
    result_retention_seconds: int | None = None
    file_access: Literal["organization", "uploader"] = "organization"
    reserve_balance: bool = False
    calls_per_minute: int | None = None
    retry_after_seconds: float | None = None
    retry_after_date: bool = False
    chats_at_once: int | None = None
    batch_models: tuple[str, ...] = ("kimi-k2.6", "kimi-k2.7-code")
    models: tuple[str, ...] = ("kimi-k3", "kimi-k2.6", "kimi-k2.7-code", "kimi-k2.7-code-highspeed")


class Clock:
    """Simulated time: real, faster, or moved by hand.

    :param speed: Simulated seconds per real second; 0 stops the clock, so that only `advance` moves it.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._started = time()
        self._advanced = 0.0

    def now(self) -> float:
        """Simulated unix seconds."""
        return self._started + (time() - self._started) * self._speed + self._advanced

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._advanced += seconds
