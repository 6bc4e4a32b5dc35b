"""Findings: what the test of a connection sees beside that its key works. None of it changes the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.api.limits import MAX_FILES
from airflow_provider_kimi.api.models import Balance, FilePage, Model
from airflow_provider_kimi.api.redaction import redact
from airflow_provider_kimi.api.settings import ConnectionSettings
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.deadline import Limit, limited

#: How long each read may take: a person waits for the sentence.
READ_SECONDS = 3.0

#: Models that are named where the connection's own is missing.
NAMED_MODELS = 5


def models_in_words(settings: ConnectionSettings, models: Sequence[Model]) -> str:
    """Say where the key works, and whether it may use the connection's own model."""
    where = (
        f"region {settings.region}"
        if settings.region
        else f"not Kimi's own host; prices of region {settings.billing_region}"
    )
    count = f"{len(models)} model{'s' if len(models) != 1 else ''}"
    if settings.model in {model.id for model in models}:
        may_use = f"It may use {count}, {settings.model} of this connection among them."
    else:
        names = redact(", ".join(model.id for model in models[:NAMED_MODELS]).replace(settings.api_key, "<hidden>"))
        may_use = f"It may use {count} ({names or 'none'}), but not {settings.model}, the model of this connection."
    return f"{settings.base_url} ({where}) accepts the key. {may_use}"


def account_in_words(
    settings: ConnectionSettings, read_balance: Callable[[], Balance], read_files: Callable[[], FilePage]
) -> str:
    """Say the balance, and how many files there are; or, of each, why it cannot be seen."""
    prices = PRICE_LISTS[settings.billing_region]
    balance = _seen(lambda: prices.amount(read_balance().available_balance))
    files = _seen(lambda: _files_in_words(read_files()))
    return f"Balance: {balance}. Files: {files}."


def _files_in_words(page: FilePage) -> str:
    return f"{'at least ' if page.has_more else ''}{len(page.data):,} of {MAX_FILES:,} that an account may have"


def _seen(read: Callable[[], str]) -> str:
    """Read one of them. If that fails, only why it failed is said: what the host answers may hold anything."""
    try:
        with limited(Limit(READ_SECONDS)):
            return read()
    except KimiApiError as error:
        reason = f"HTTP {error.status_code}" if error.status_code else "the answer is not Kimi's"
    except KimiNoAnswerError as error:
        reason = f"no answer within {READ_SECONDS:g} s" if error.kind == "timeout" else "no answer"
    except KimiError:
        reason = "the call was not sent"
    return f"not readable ({reason})"
