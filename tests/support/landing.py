"""Lands results, and reads them back from disk."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from airflow_provider_kimi.calls.patience import Calls
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.collect import collect
from airflow_provider_kimi.results.landing import Collected, Landing
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.logs import LogRecord
from tests.support.requests import submit_prompts


class Landed:
    """A landed result, read back from disk."""

    def __init__(self, folder: Path, collected: Collected, log: LogRecord) -> None:
        self.folder = folder
        self.manifest = collected.manifest.to_dict()
        self.collected = collected
        self.log = log

    def rows(self, name: str = "results.jsonl") -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_bytes().split(b"\n") if line] if path.exists() else []

    @property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {row["custom_id"]: row for row in self.rows()}

    @property
    def statuses(self) -> Counter[str]:
        return Counter(row["status"] for row in self.rows())


def land(hook: KimiHook, folder: Path, batch_ids: list[str], **changes: Any) -> Landed:
    log = LogRecord()
    collected = collect(Calls(hook, log, lambda seconds: None), Landing(batch_ids, str(folder), **changes))
    return Landed(folder, collected, log)


def land_prompts(sim: KimiSimulator, hook: KimiHook, folder: Path, count: int = 10) -> Landed:
    """Label prompts, bring the batch to its end, and land it."""
    submission = submit_prompts(hook, count)
    sim.advance(60)
    return land(hook, folder, submission.batch_ids)
