"""How a task waits, as its parameters say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Self, get_args

from airflow_provider_kimi.choices import OnFinalFailure
from airflow_provider_kimi.fields import check_choice, check_flag, check_seconds
from airflow_provider_kimi.records.watch import EXPIRY_GRACE_SECONDS, OnStall, OnTimeout

#: The longest window is 7 days; a wait that no expiry ends, because none is known, ends after these and the grace.
LONGEST_WAIT_SECONDS = 7 * 86_400 + EXPIRY_GRACE_SECONDS


@dataclass(frozen=True)
class WaitTerms:
    """How a task waits.

    :param pause_seconds: Between two polls; None for a pace that fits the batches' age.
    :param allowed_seconds: How long the wait may take.
    :param progress: Whether to push the XCom `progress`, unless the connection says not to.
    :param ends_at: When the wait ends in any case, in unix seconds, and what runs then is cancelled; None for no such
        time.
    """

    deferrable: bool
    pause_seconds: float | None
    allowed_seconds: float
    on_timeout: OnTimeout
    stall_seconds: float
    on_stall: OnStall
    on_final_failure: OnFinalFailure
    cancel_on_kill: bool
    progress: bool = True
    ends_at: float | None = None

    @classmethod
    def of(
        cls,
        *,
        deferrable: bool,
        poke_interval: timedelta | float | None,
        timeout: timedelta | float | None,
        on_timeout: OnTimeout,
        stall_timeout: timedelta | float,
        on_stall: OnStall,
        on_final_failure: OnFinalFailure,
        cancel_on_kill: bool,
        progress: bool,
    ) -> Self:
        """Read the parameters of an operator or a sensor.

        :raises ValueError: One is wrong.
        """
        check_choice("on_timeout", on_timeout, get_args(OnTimeout))
        check_choice("on_final_failure", on_final_failure, get_args(OnFinalFailure))
        check_choice("on_stall", on_stall, get_args(OnStall))
        check_flag("cancel_on_kill", cancel_on_kill)
        check_flag("deferrable", deferrable)
        check_flag("progress", progress)
        return cls(
            deferrable=deferrable,
            pause_seconds=None if poke_interval is None else check_seconds("poke_interval", poke_interval),
            allowed_seconds=LONGEST_WAIT_SECONDS if timeout is None else check_seconds("timeout", timeout),
            on_timeout=on_timeout,
            stall_seconds=check_seconds("stall_timeout", stall_timeout),
            on_stall=on_stall,
            on_final_failure=on_final_failure,
            cancel_on_kill=cancel_on_kill,
            progress=progress,
        )
