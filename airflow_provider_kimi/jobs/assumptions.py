"""What an estimate takes for granted, in words: none of them holds anything of a row."""

from airflow_provider_kimi.api.catalogue import THINKING_FLOOR_TOKENS, PriceList
from airflow_provider_kimi.jobs.answer_sizes import AnswerSize
from airflow_provider_kimi.jobs.estimate import (
    BYTES_PER_TOKEN,
    LEAST_BYTES_PER_TOKEN,
    LEAST_MARGIN,
    MOST_BYTES_PER_TOKEN,
)
from airflow_provider_kimi.jobs.survey import Survey

#: What is said instead where every answer is there.
NOTHING_SENT = ("The answer to every row is there: nothing is sent, and nothing is billed.",)


def assumptions(found: Survey, counted: int, answer: AnswerSize, prices: PriceList, model: str) -> list[str]:
    """Say what an estimate takes for granted.

    :param counted: How many requests the platform has counted the tokens of.
    """
    caps = {kind.cap for kind in found.asked}
    thinking = sum(rows for kind, rows in found.asked.items() if kind.thinks)
    bound = f"{min(caps):,}" if len(caps) == 1 else f"{min(caps):,} to {max(caps):,}"
    said = [
        _of_prompts(found, counted),
        f"Completion tokens: {answer.reason}; low is one token for each answer, high is its cap of {bound} tokens.",
    ]
    if thinking:
        said.append(
            f"The model thinks before {thinking:,} of the answers: {THINKING_FLOOR_TOKENS:,} tokens each, or up to the "
            "cap. thinking='disabled' saves them."
        )
    if found.uncounted_bytes:
        said.append("Tools and response formats are in the high end of the prompt tokens only; nothing counts them.")
    if found.has_uploads:
        said.append("Images and videos that are to be uploaded are not counted.")
    said.append(
        f"Prices are those of {prices.date:.40} at batch rate, without taxes, and nothing is read from the cache."
        if model in prices.models
        else f"The price of model {model:.80} is not known; pass it as price_list."
    )
    return [*said, "Every row is asked once: further rounds come on top."]


def _of_prompts(found: Survey, counted: int) -> str:
    if not counted:
        return (
            f"Prompt tokens: the platform could not be asked; {BYTES_PER_TOKEN} bytes of text for each token, "
            f"{MOST_BYTES_PER_TOKEN} for the low end and {LEAST_BYTES_PER_TOKEN} for the high end."
        )
    if counted == found.rows:
        return "Prompt tokens: the platform has counted every request."
    return (
        f"Prompt tokens: the platform has counted {counted:,} requests, drawn at random, long ones more often. Low and "
        f"high hold the sum of all with 95 % confidence, and are at least {LEAST_MARGIN:.0%} from what is expected."
    )
