"""What the parameters of operators can be, and are unless a DAG says otherwise."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

#: The connection that is asked where none is named.
DEFAULT_CONN_ID = "kimi_default"

#: Batches read by default before a search gives up.
MAX_BATCHES_SEARCHED = 5000

#: One column, or several whose values make the key together.
KeyColumns = str | Sequence[str]

#: Makes messages, or a body, from a row.
RowFunction = Callable[[Any], Any]

#: How media travel: inside the request, or as files of the platform that requests name.
MediaTransport = Literal["base64", "upload"]

Thinking = Literal["enabled", "disabled"]

#: `fail` sends nothing where a row cannot be sent; `skip` leaves it out.
OnInvalidRow = Literal["fail", "skip"]

#: `fail` refuses a body that breaks a rule, `drop` takes the key out, `off` sends it.
ParameterCheck = Literal["fail", "drop", "off"]

#: Rules as users write them: pattern of models -> key -> fields of a rule, or None to lift one.
RuleOverrides = Mapping[str, Mapping[str, Mapping[str, Any] | None]]

#: `auto` attaches to live or completed work of the same job; `never` always submits again.
Reuse = Literal["auto", "never"]

#: What becomes of work from another input of the same task instance: nothing is sent, or the new input is submitted
#: as well, or the old work is cancelled first.
OnChangedInput = Literal["fail", "fresh", "cancel_and_fresh"]

#: What becomes of rows that were not answered when a batch ended early: only they are asked again, or all rows of the
#: batch, or nothing is sent.
OnEnded = Literal["rest", "resubmit", "fail"]

#: What becomes of batches that run while their task fails for good.
OnFinalFailure = Literal["keep", "cancel"]

#: What becomes of a task if a batch ended otherwise than completed.
OnIncomplete = Literal["fail", "continue"]

#: A limit as users set it: a number, the text of a rendered template, or None for no limit.
Limit = float | str | None

#: What becomes of the task if more rows have no usable answer.
OnTooManyFailed = Literal["fail", "skip", "warn"]

#: Format of the results file.
OutputFormat = Literal["jsonl", "csv", "parquet"]

#: Takes a row, and returns None, or a reason.
RowCheck = Callable[[Mapping[str, Any]], object]

#: What becomes of the model's thoughts: `drop` leaves them out, and removes them from an answer that they leaked into;
#: `column` puts them beside the answer; `keep` leaves the answer as it was sent.
Reasoning = Literal["drop", "column", "keep"]

#: What to do with orphans: cancel those that run, or land those that have ended.
OrphanAction = Literal["cancel", "harvest"]
