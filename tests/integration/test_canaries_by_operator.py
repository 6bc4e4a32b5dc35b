"""The canaries in each operator: what Airflow stores, logs, sends and shows of its task, whether it works or fails."""

import importlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.get_provider_info import get_provider_info
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.operators.cache import KimiPurgeCacheOperator
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.operators.orphans import KimiOrphanBatchesOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import Answer, KimiSimulator, RowError
from airflow_provider_kimi.simulator.faults import CallName
from tests.conftest import Connect
from tests.support.canaries import ANSWER, ECHO, KEY, ROW, SECRETS, found_in, printed
from tests.support.requests import request, write_jsonl
from tests.support.rounds import QUICK
from tests.support.tasks import TaskInstanceRecord, resume_to_end, run_task
from tests.test_metrics import stats_of, statsd_logger
from tests.test_rendered_rows import stored


@dataclass
class Place:
    """Where an operator runs: a folder, and an account with one batch."""

    folder: Path
    batch_id: str

    @property
    def table(self) -> str:
        return write_jsonl(self.folder / "rows.jsonl", [{"id": f"r{n}", "text": f"{ROW} {n}"} for n in range(4)])

    @property
    def cache(self) -> str:
        cache = AnswerCache(str(self.folder / "cache"))
        with cache.writer("old") as kept:
            kept.add(bytes(16), json.dumps(ANSWER).encode())
        return str(self.folder / "cache")


ASKED = {"prompt": "{text}", "key_column": "id"}

#: The parameters by which each public operator does its work.
OPERATORS: dict[Any, Callable[[Place], dict[str, Any]]] = {
    KimiCreateBatchOperator: lambda place: {"input": place.table, **ASKED},
    KimiBatchSensor: lambda place: {"batch_id": place.batch_id, "poke_interval": 0.1},
    KimiBatchResultsOperator: lambda place: {
        "batch_id": place.batch_id,
        "input": place.table,
        "key_column": "id",
        "output": f"{place.folder}/out",
    },
    KimiBatchOperator: lambda place: {
        **{"input": place.table, "output": f"{place.folder}/out", "cache": f"{place.folder}/kept"},
        **{"poke_interval": 0.1, **ASKED},
    },
    KimiCancelBatchOperator: lambda place: {"batch_id": place.batch_id, "poll_interval": 0.1},
    KimiDeleteFilesOperator: lambda _: {"older_than": timedelta(0), "dry_run": True},
    KimiOrphanBatchesOperator: lambda _: {},
    KimiPurgeCacheOperator: lambda place: {"cache": place.cache, "older_than": timedelta(days=1)},
}

#: Those that never call the platform.
OFFLINE = (KimiPurgeCacheOperator,)


def answer(asked: Mapping[str, Any]) -> Answer | RowError:
    """Answer but one row, whose text the platform repeats, with ids in its code too."""
    return RowError(f"refused for {KEY}", ECHO) if asked["custom_id"] == "r1" else Answer(ANSWER)


@dataclass
class Metrics:
    """A client of statsd that keeps names, values and tags."""

    seen: list[object] = field(default_factory=list)

    def incr(self, *given: object, **named: object) -> None:
        """Keep a counter."""
        self.seen += [given, named]

    timing = incr


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Airflow logs at DEBUG."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def platform(connect: Connect) -> Iterator[KimiSimulator]:
    with KimiSimulator(api_key=KEY, speed=50, timing=QUICK, responder=answer) as platform:
        connect(platform)
        yield platform


@pytest.fixture
def place(platform: KimiSimulator, tmp_path: Path) -> Place:
    hook = KimiHook()
    lines = [
        json.dumps(
            request(f"r{n}", body={"model": "kimi-k2.6", "messages": [{"role": "user", "content": f"{ROW} {n}"}]})
        )
        for n in range(4)
    ]
    file = hook.upload_file(BytesIO("\n".join(lines).encode()), "input.jsonl")
    return Place(tmp_path, hook.create_batch(file.id, metadata={"team": "a"}).id)


def made(make: Any, place: Place) -> Any:
    with DAG("canaries", schedule=None, start_date=datetime(2026, 11, 30, tzinfo=UTC)):
        return make(task_id="task", **OPERATORS[make](place))


def serialised(task: Any) -> str:
    """The DAG of a task, as Airflow's database holds it."""
    module = importlib.import_module("airflow.serialization.serialized_objects")
    kind = getattr(module, "DagSerialization", None) or module.SerializedDAG  # Airflow below 3.2
    return json.dumps(kind.to_dict(task.dag))


def lineage_of(task: Any, ti: TaskInstanceRecord) -> str:
    report = getattr(task, "get_openlineage_facets_on_complete", None)
    return repr(report(ti)) if report else ""


def test_each_public_operator_and_sensor_is_looked_at() -> None:
    info = get_provider_info()
    modules = [name for kind in ("operators", "sensors") for entry in info[kind] for name in entry["python-modules"]]
    found = [value for name in modules for value in vars(importlib.import_module(name)).values()]
    public = {value for value in found if isinstance(value, type) and value.__name__.startswith("Kimi")}
    assert {value for value in public if issubclass(value, BaseOperator)} == set(OPERATORS)


@pytest.mark.parametrize("make", OPERATORS, ids=lambda make: str(make.__name__))
def test_an_operator_leaves_no_key_no_row_and_no_answer_in_what_airflow_keeps(
    platform: KimiSimulator,
    place: Place,
    everything: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    make: Any,
) -> None:
    if make is KimiBatchResultsOperator:
        platform.advance(9000)
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")  # Airflow 2 looks there again
    task, metrics = made(make, place), Metrics()
    shown = [serialised(task)]
    with stats_of(statsd_logger(metrics, has_tags=True)):
        attempt = run_task(task)
        if attempt.deferred is not None:
            shown += [repr(attempt.deferred.trigger.serialize()), repr(attempt.deferred.kwargs)]
        attempt = resume_to_end(task, attempt)
    task.render_template_fields({"ti": attempt.ti}, task.dag.get_template_env())
    shown += [repr(stored(task)), repr(task), str(task), lineage_of(task, attempt.ti), repr(metrics.seen)]
    shown += [repr(attempt.value), repr(attempt.ti.xcoms), repr(platform.journal), *capsys.readouterr()]
    assert not found_in("\n".join([*shown, everything.text]))
    assert "kimi.rows.succeeded" in repr(metrics.seen) or make not in (KimiBatchOperator, KimiBatchResultsOperator)


@pytest.mark.parametrize("make", [make for make in OPERATORS if make not in OFFLINE], ids=lambda make: make.__name__)
def test_an_operator_that_the_platform_refuses_fails_with_no_key_and_no_id(
    platform: KimiSimulator, place: Place, everything: pytest.LogCaptureFixture, make: Any
) -> None:
    for call in get_args(CallName):
        platform.inject(call, status=400, error_type="invalid_request_error", message=ECHO, times=None)
    task = made(make, place)
    with pytest.raises(Exception, match="Kimi|refused|400") as caught:
        resume_to_end(task, run_task(task))
    assert not found_in(printed(caught.value) + everything.text, SECRETS)
