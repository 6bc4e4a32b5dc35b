"""Requests of `@task.llm_batch` as Kimi-ready requests, and the order that sends them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from airflow_provider_kimi.api.limits import BATCH_ENDPOINT
from airflow_provider_kimi.choices import Reuse
from airflow_provider_kimi.requests.order import Order
from airflow_provider_kimi.requests.recipe import Recipe

#: How many characters of a fingerprint a batch carries, as with the other adapters.
_FINGERPRINT_CHARS = 16

KEY, FINGERPRINT = "idempotency_key", "input_fingerprint"


class Asked(NamedTuple):
    """What a task asks of every request that does not say otherwise.

    :param directive: The form of every answer; empty for text.
    :param max_tokens: Cap on an answer, thoughts included.
    """

    model: str
    directive: Mapping[str, Any]
    system_prompt: str = ""
    max_tokens: int = 1024
    request_params: Mapping[str, Any] | None = None

    def body(self, request: Mapping[str, Any], model: str) -> dict[str, Any]:
        """Write the body of one request.

        What the task manages itself (model, messages, cap, form) takes the place of equal keys in its parameters.
        """
        system = request.get("system_prompt") or self.system_prompt
        messages = [{"role": "system", "content": system}] if system else []
        body = {
            **(self.request_params or {}),
            **(request.get("params") or {}),
            "model": model,
            "messages": [*messages, {"role": "user", "content": request["prompt"]}],
            "max_completion_tokens": request.get("max_tokens") or self.max_tokens,
            **self.directive,
        }
        body.pop("max_tokens", None)
        return body


def request_lines(
    requests: Iterable[Mapping[str, Any]], models: Iterable[str], asked: Asked, key: str
) -> Iterator[dict[str, Any]]:
    """Yield the requests as Kimi takes them, each named by the key of its task instance and by its place from 0."""
    for index, (request, model) in enumerate(zip(requests, models, strict=True)):
        body = asked.body(request, model)
        yield {"custom_id": f"{key}-{index}", "method": "POST", "url": BATCH_ENDPOINT, "body": body}


def pairs_of(key: str, fingerprint: str) -> dict[str, str]:
    """The pairs by which a batch is found again that common.ai has lost."""
    return {KEY: key, FINGERPRINT: fingerprint[:_FINGERPRINT_CHARS]}


def order_of(
    lines: Callable[[], Iterator[dict[str, Any]]],
    model: str,
    pairs: Mapping[str, str],
    reuse: Reuse,
    completion_window: str = "24h",
) -> Order:
    """Order one batch of these requests.

    A batch of the same task instance and input that runs or completed is taken as it is. One that ended early counts as
    gone, since common.ai expects a line for each request of one batch. It cancels batches of an earlier input itself.
    """
    return Order(
        lines,
        Recipe(model),
        model=model,
        completion_window=completion_window,
        metadata=pairs,
        reuse=reuse,
        on_changed_input="fresh",
        on_ended="resubmit",
    )


def key_of(metadata: Mapping[str, Any] | None) -> str | None:
    """The key of the task instance that a batch was made for; None if it does not say."""
    key = (metadata or {}).get(KEY)
    return key if isinstance(key, str) and key else None


def index_of(custom_id: str, key: str | None) -> int:
    """The place of a request; -1 for an id that is none of ours.

    :param key: Of the task instance; None if it is not known.
    """
    own, _, place = custom_id.rpartition("-")
    is_place = place.isascii() and place.isdecimal() and len(place) < 10 and place == str(int(place))
    return int(place) if is_place and key in (None, own) else -1


def with_own_definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Lift the definitions of the one field that common.ai wraps a list or a union in, since references expect them at
    the root.
    """
    fields = schema.get("properties") or {}
    response = fields.get("response") if len(fields) == 1 else None
    if not isinstance(response, dict) or "$defs" not in response:
        return dict(schema)
    inner = {key: value for key, value in response.items() if key != "$defs"}
    return {**schema, "properties": {"response": inner}, "$defs": response["$defs"] | schema.get("$defs", {})}
