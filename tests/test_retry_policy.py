"""What a retry policy does about each error: later, soon, or never."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="retry policies are of Airflow 3.3 and newer")

from airflow.sdk import RetryAction

from airflow_provider_kimi.exceptions import (
    ApiErrorKind,
    KimiApiError,
    KimiBatchError,
    KimiConnectionConfigError,
    KimiInputError,
    KimiNoAnswerError,
    KimiResultError,
)
from airflow_provider_kimi.retry_policy import KimiRetryPolicy
from airflow_provider_kimi.simulator import KimiSimulator

DAGS = Path(__file__).parent / "integration" / "policy_dags"

SOON, LATER = timedelta(minutes=5), timedelta(hours=6)
AGAIN = {RetryAction.RETRY, getattr(RetryAction, "RESCHEDULE", RetryAction.RETRY)}

#: What becomes of an error by its kind: how soon the task is tried again, or None for never.
DELAYS: dict[ApiErrorKind, timedelta | None] = {
    **{"balance": LATER, "daily_tokens": LATER, "file_quota": LATER, "rate_limit": SOON, "queue": SOON, "fault": SOON},
    **{"key": None, "forbidden": None, "not_found": None, "content_filter": None, "redirect": None, "input": None},
}


def of_kind(kind: ApiErrorKind, retry_after: float | None = None) -> KimiApiError:
    retryable = kind in ("rate_limit", "queue", "fault")
    return KimiApiError("x", status_code=400, kind=kind, retryable=retryable, retry_after_seconds=retry_after)


def decided(error: Exception) -> tuple[Any, timedelta | None]:
    decision = KimiRetryPolicy().evaluate(error, try_number=1, max_tries=3)
    return decision.action, decision.retry_delay


def test_every_kind_of_error_has_a_row() -> None:
    assert set(DELAYS) == set(get_args(ApiErrorKind))


@pytest.mark.parametrize(("kind", "delay"), DELAYS.items(), ids=DELAYS)
def test_the_kind_of_an_error_decides_not_its_text(kind: ApiErrorKind, delay: timedelta | None) -> None:
    action, found = decided(of_kind(kind))
    assert found == delay
    assert action in ({RetryAction.FAIL} if delay is None else AGAIN)


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        *((KimiNoAnswerError("x"), SOON), (KimiResultError("x"), SOON), (KimiBatchError("x", retryable=True), SOON)),
        (KimiNoAnswerError("x", kind="refused"), SOON),
        (KimiNoAnswerError("x", kind="certificate", retryable=False), None),
        *((KimiInputError("x"), None), (KimiConnectionConfigError("x"), None), (KimiBatchError("x"), None)),
    ],
)
def test_other_errors_of_the_provider_are_retried_soon_or_never(error: Exception, delay: timedelta | None) -> None:
    assert decided(error) == (RetryAction.FAIL if delay is None else RetryAction.RETRY, delay)


def test_errors_of_others_are_left_to_the_task() -> None:
    assert decided(ValueError("x")) == (RetryAction.DEFAULT, None)


@pytest.mark.parametrize(("kind", "asked", "seconds"), [("rate_limit", 900, 900), ("fault", 1, 300)])
def test_a_longer_wait_that_the_platform_asks_for_is_kept_to(kind: ApiErrorKind, asked: float, seconds: int) -> None:
    assert decided(of_kind(kind, asked))[1] == timedelta(seconds=seconds)


def test_an_older_airflow_is_told_which_version_is_needed() -> None:
    program = """
import sys
sys.modules["airflow.sdk.definitions.retry_policy"] = None  # as on Airflow 3.2
import airflow_provider_kimi.operators.batch
try:
    import airflow_provider_kimi.retry_policy
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "needs Airflow 3.3 or newer" in done.stdout


# In a real task runner


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the DAGs of `policy_dags/refused_creates.py` did, each on a platform that refuses its first creates."""
    folder = tmp_path_factory.mktemp("policies")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "REPORT": str(folder / "report.json"),
    }
    quota: dict[str, Any] = {"status": 429, "error_type": "exceeded_current_quota_error", "message": "no balance"}
    with KimiSimulator() as none, KimiSimulator() as balance, KimiSimulator() as wrong:
        none.inject("create_batch", times=1, **quota)
        balance.inject("create_batch", times=1, **quota)
        platforms = {"no_policy": none, "balance": balance, "wrong_input": wrong}
        for name, sim in platforms.items():
            fields = {"conn_type": "kimi", "host": sim.base_url, "password": sim.api_key}
            environment[f"AIRFLOW_CONN_KIMI_{name.upper()}"] = json.dumps(fields)
        for command in (["-m", "airflow", "db", "migrate"], [str(DAGS / "refused_creates.py")]):
            done = subprocess.run(
                [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads((folder / "report.json").read_text())
        found["batches"] = {name: len(sim.batches) for name, sim in platforms.items()}
    return found


def seen(report: dict[str, Any], dag_id: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "dag"} for row in report["seen"] if row["dag"] == dag_id
    ]


@pytest.mark.timeout(300)
class TestInARealTaskRunner:
    def test_without_a_policy_the_error_ends_the_task_and_a_callback_sees_what_it_is(
        self, report: dict[str, Any]
    ) -> None:
        assert report["states"]["no_policy"] == "failed"
        row = {"try": 1, "name": "KimiApiError", "kind": "balance", "is_ours": True, "ends_the_task": True}
        assert seen(report, "no_policy") == [row]
        assert report["batches"]["no_policy"] == 0

    def test_a_policy_sees_the_plain_error_and_tries_again_when_there_may_be_money(
        self, report: dict[str, Any]
    ) -> None:
        assert report["states"]["balance"] == "success"
        row = {"name": "KimiApiError", "kind": "balance", "is_ours": True, "ends_the_task": False}
        assert [found | {"try": 0} for found in seen(report, "balance")] == [row | {"try": 0}]
        assert report["batches"]["balance"] == 1

    def test_a_policy_never_tries_a_wrong_input_again(self, report: dict[str, Any]) -> None:
        assert report["states"]["wrong_input"] == "failed"
        assert [(found["try"], found["name"]) for found in seen(report, "wrong_input")] == [(1, "KimiInputError")]
