"""What the contract promises, what Airflow discovers, and what the documents say: all the same."""

import importlib
import inspect
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_kimi
from airflow_provider_kimi.api import catalogue, limits, models
from airflow_provider_kimi.api.extra import NAMES
from airflow_provider_kimi.get_provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import (
    KimiBatchOperator,
    KimiBatchResultsOperator,
    KimiCancelBatchOperator,
    KimiCreateBatchOperator,
)
from airflow_provider_kimi.operators.files import KimiDeleteFilesOperator
from airflow_provider_kimi.sensors.batch import KimiBatchSensor
from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.simulator import limits as simulated
from airflow_provider_kimi.simulator import platform as simulated_platform
from airflow_provider_kimi.simulator.behaviour import Behaviour, Timing
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from tests.architecture.modules import MODULES

ROOT = Path(__file__).parents[2]
REQUIRED = inspect.Parameter.empty

OPERATORS = [
    *(KimiBatchOperator, KimiCreateBatchOperator, KimiBatchSensor),
    *(KimiBatchResultsOperator, KimiCancelBatchOperator),
]
PUBLIC = [*OPERATORS, KimiDeleteFilesOperator, KimiBatchTrigger, KimiHook, KimiSimulator, Behaviour]


@pytest.mark.parametrize(
    ("operator", "parameters"),
    [
        (
            KimiCreateBatchOperator,
            {
                **{"input": REQUIRED, "model": None, "prompt": None, "system_prompt": None, "key_column": None},
                **{"request_params": None, "completion_window": "24h", "metadata": None, "reuse": "auto"},
            },
        ),
        (
            KimiBatchOperator,
            {
                **{"input": REQUIRED, "output": REQUIRED, "prompt": None, "deferrable": True, "poke_interval": None},
                **{"max_failed_ratio": None, "output_schema": None, "check": None, "output_format": "jsonl"},
                **{"select": None, "exclude": None, "delete_remote_files": False, "max_rounds": 1},
            },
        ),
        (KimiBatchSensor, {"batch_id": REQUIRED, "deferrable": True, "on_incomplete": "fail"}),
        (
            KimiBatchResultsOperator,
            {
                **{"batch_id": REQUIRED, "output": REQUIRED, "input": None},
                **{"max_failed_ratio": None, "max_failed_rows": None, "delete_remote_files": False},
            },
        ),
        (KimiDeleteFilesOperator, {"file_id": None, "older_than": None, "dry_run": False}),
        (KimiCancelBatchOperator, {"batch_id": REQUIRED, "wait_for_termination": True}),
    ],
)
def test_an_operator_has_the_parameters_of_the_contract(operator: Any, parameters: dict[str, object]) -> None:
    signature = inspect.signature(operator.__init__).parameters
    assert {name: signature[name].default for name in parameters} == parameters
    assert signature["kimi_conn_id"].default == "kimi_default"


#: Every class that a DAG can import, by the module that gives it; the two last of operators are only parts of others.
EXPORTED = {
    "operators/batch.py": {
        "KimiBatchOperator",
        "KimiBatchResultsOperator",
        "KimiCancelBatchOperator",
        "KimiCreateBatchOperator",
    },
    "operators/cache.py": {"KimiPurgeCacheOperator"},
    "operators/cancel.py": {"KimiCancelBatchOperator"},
    "operators/create.py": {"KimiCreateBatchOperator"},
    "operators/files.py": {"KimiDeleteFilesOperator"},
    "operators/orphans.py": {"KimiOrphanBatchesOperator"},
    "operators/results.py": {"KimiBatchResultsOperator"},
    "operators/asking.py": {"AskingOperator"},
    "operators/job.py": {"KimiBatchOperator"},
    "operators/landing.py": {"LandingOperator"},
    "sensors/batch.py": {"KimiBatchSensor"},
    "triggers/batch.py": {"KimiBatchTrigger"},
    "triggers/ended_batches.py": {"KimiBatchEndedTrigger"},
}


def exported(module: str) -> set[str]:
    """What `__all__` names, or else the classes that a module defines for others."""
    found = importlib.import_module("airflow_provider_kimi." + module.removesuffix(".py").replace("/", "."))
    own = {name for name, value in vars(found).items() if getattr(value, "__module__", "") == found.__name__}
    return set(
        getattr(found, "__all__", {name for name in own if inspect.isclass(vars(found)[name]) and name[0] != "_"})
    )


def test_operators_sensors_and_triggers_export_the_listed_classes_and_no_other() -> None:
    folders = ("operators/", "sensors/", "triggers/")
    found = {name: exported(name) for name in MODULES if name.startswith(folders) and not name.endswith("__init__.py")}
    assert found == EXPORTED


@pytest.mark.parametrize("cls", PUBLIC)
def test_every_parameter_is_documented(cls: Any) -> None:
    documented = set(re.findall(r":param (\w+):", inspect.getdoc(cls) or ""))
    parameters = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs", "args"}
    assert parameters == documented


@pytest.mark.parametrize("cls", OPERATORS)
def test_every_template_field_is_an_attribute(cls: Any) -> None:
    signature = inspect.signature(cls.__init__).parameters
    required = {name: "x" for name, found in signature.items() if found.default is REQUIRED}
    task = cls(task_id="t", **{name: v for name, v in required.items() if name not in ("self", "kwargs")})
    assert all(hasattr(task, field) for field in cls.template_fields)


def test_the_hook_has_one_method_for_each_call() -> None:
    for name in (
        *("get_conn", "aget_conn", "test_connection", "upload_file", "create_batch", "get_batch", "list_batches"),
        *("cancel_batch", "list_files", "download_file", "delete_file", "list_models", "get_balance"),
        "estimate_tokens",
    ):
        assert callable(getattr(KimiHook, name))


def test_airflow_finds_the_provider_through_its_entry_point() -> None:
    (found,) = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.dist and point.dist.name == "airflow-provider-kimi"
    ]
    assert found.load()() == get_provider_info()


def test_what_airflow_discovers_exists() -> None:
    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    (connection,) = info["connection-types"]
    module, _, name = connection["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert hook is KimiHook
    assert (hook.conn_type, hook.hook_name) == (connection["connection-type"], connection["hook-name"])
    assert set(CONNECTION_FIELDS) == set(NAMES)
    assert hook.get_ui_field_behaviour()["relabeling"] == connection["ui-field-behaviour"]["relabeling"]


def test_the_simulators_limits_and_ours_agree() -> None:
    shared = [name for name in vars(limits) if name.isupper() and hasattr(simulated, name)]
    assert set(shared) >= {
        *("MAX_FILE_BYTES", "BATCH_ENDPOINT", "MIN_WINDOW_HOURS", "MAX_WINDOW_HOURS"),
        *("MAX_METADATA_PAIRS", "MAX_METADATA_KEY_CHARS", "MAX_METADATA_VALUE_CHARS", "MAX_FILES"),
    }
    assert {name: getattr(limits, name) for name in shared} == {name: getattr(simulated, name) for name in shared}
    assert set(simulated.TERMINAL_STATUSES) == models.TERMINAL_STATUSES
    assert set(simulated.BATCH_STATUSES) == models.TERMINAL_STATUSES | models.ACTIVE_STATUSES
    assert set(Behaviour().batch_models) == set(catalogue.BATCH_MODELS)
    dearest = max(price.output for price in catalogue.PRICE_LISTS["cn"].models.values())
    assert float(dearest) == simulated_platform.WORST_CASE_YUAN
    fixed = {key for key, rule in catalogue.PARAMETER_RULES["*"].items() if rule and rule.fixed}
    assert fixed == set(simulated.FORBIDDEN_BODY_KEYS)


def test_one_version_and_the_changelog_knows_it() -> None:
    version = airflow_provider_kimi.__version__
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dynamic"]
    assert get_provider_info()["versions"] == [version]


def test_the_timings_of_a_batch_are_switches_of_the_command() -> None:
    from airflow_provider_kimi.simulator.__main__ import _parser

    options = vars(_parser().parse_args([]))
    assert {"validating", "working", "finalizing", "cancelling"} <= set(options)
    assert options["working"] == Timing().working_seconds
