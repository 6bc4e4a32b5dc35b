"""Doubt: how long a fault that looks permanent has to last before a wait believes it.

One refusal proves little: a part of the platform may not know a fresh batch yet, and a key may be changed meanwhile.
A good answer withdraws the doubt; a fault that passes neither withdraws nor confirms it.
"""

from dataclasses import dataclass
from typing import Literal

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import (
    KimiApiError,
    KimiConnectionConfigError,
    KimiError,
    KimiInputError,
    KimiNoAnswerError,
)

#: What a fault is about: one batch, or every batch of the connection.
Scope = Literal["batch", "connection"]

#: How long a known batch may be unknown: a deployment of the platform was over in less.
BATCH_PATIENCE_SECONDS = 60.0

#: The same for a batch that is young, or was never read: what was stored just now may not be known everywhere.
YOUNG_PATIENCE_SECONDS = 300.0

#: Until when a batch is young: the platform's gateway answers a create only after this time.
YOUNG_SECONDS = 900.0

#: How long a key, a balance or a connection may be refused, or a certificate or a proxy stand in the way: time to put
#: it right, or for an outage of logins to end.
CONNECTION_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A fault that looks permanent.

    :param since: Unix seconds of the first poll that met it, with no good answer since.
    :param patience: Seconds for which it has to last.
    """

    scope: Scope
    since: float
    patience: float

    @property
    def ends_at(self) -> float:
        """When it is believed."""
        return self.since + self.patience


def doubt_after(before: Doubt | None, fault: KimiError, batch: Batch | None, now: float) -> Doubt | None:
    """What a poll that failed leaves in doubt.

    :param before: What was in doubt before.
    :param batch: As it was last read; None if it never was.
    """
    scope = scope_of(fault)
    if scope is None or (before is not None and before.scope == scope):
        return before
    return Doubt(scope, now, _patience(scope, fault, batch, now))


def _patience(scope: Scope, fault: KimiError, batch: Batch | None, now: float) -> float:
    if isinstance(fault, KimiInputError):
        return 0.0  # the call was not even sent
    if scope == "connection":
        return CONNECTION_PATIENCE_SECONDS
    created_at = None if batch is None else batch.created_at
    is_young = created_at is None or now < created_at + YOUNG_SECONDS
    return YOUNG_PATIENCE_SECONDS if is_young else BATCH_PATIENCE_SECONDS


def scope_of(fault: KimiError) -> Scope | None:
    """Say what a fault is about; None if it passes."""
    if fault.retryable:
        return None
    if isinstance(fault, KimiApiError):
        is_shared = fault.status_code == 401 or fault.error_type == "exceeded_current_quota_error"
    else:
        is_shared = isinstance(fault, (KimiConnectionConfigError, KimiNoAnswerError))
    return "connection" if is_shared else "batch"
