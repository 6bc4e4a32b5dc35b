"""What a job is likely to cost, roughly: the platform counts tokens only when it runs."""

from typing import Any

from airflow_provider_kimi.api.catalogue import OUTPUT_CAP_KEYS, PRICE_LISTS
from airflow_provider_kimi.requests.prepare import Prepared

#: Bytes of a request for each token of its prompt: about four in English; a Chinese character has three, and the
#: keys of the request count too.
BYTES_PER_TOKEN = 4


def estimate(prepared: Prepared, parameters: dict[str, Any], region: str) -> str:
    """Say how many requests there are, their tokens, and their price at batch rate, as far as it is known.

    :param parameters: Parameters of every request, in which the longest answer may be capped.
    """
    requests = prepared.request_count
    size = sum(shard.content.size for shard in prepared.shards)
    batches = f"{len(prepared.shards)} batch{'' if len(prepared.shards) == 1 else 'es'}"
    tokens = size // BYTES_PER_TOKEN
    said = f"{requests:,} requests in {batches}: {size:,} bytes, about {tokens:,} prompt tokens"
    prices = PRICE_LISTS[region]
    price = prices.models.get(prepared.model)
    if price is None:
        return f"{said}. The batch price of {prepared.model} is not known here"
    said += f", about {prices.amount(tokens * price.input / 1_000_000)}"
    cap = next((parameters[key] for key in OUTPUT_CAP_KEYS if isinstance(parameters.get(key), int)), None)
    if cap is None:
        return f"{said}. Answers are billed on top"
    answers = prices.amount(requests * cap * price.output / 1_000_000)
    return f"{said}. Answers are billed on top: at most {answers} at {cap:,} tokens each"
