"""One contender of bench_wait in a process of its own: many triggers in one event loop, as in a triggerer.

Run as `python -m tests.benchmarks.wait_contender CASE COUNT INTERVAL CONTROL_URL`; the last line that it prints is its
figures. The connections are set by bench_wait in the environment.
"""

import asyncio
import gc
import importlib
import json
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from tests.benchmarks.wait_server import FIRST_END_SECONDS, LAST_END_SECONDS

#: Interval that goes with batches of 20 to 25 seconds; a longer one stretches them.
USUAL_INTERVAL = 5.0

#: Seconds between two beats of the loop's pulse.
BEAT_SECONDS = 0.01


class EmptyTrigger:
    """What any trigger costs: it waits for as long as its batch and one interval, and polls nothing."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def run(self) -> AsyncIterator[None]:
        """Wait, then fire once."""
        await asyncio.sleep(self.seconds)
        yield None


def make_triggers(case: str, interval: float, stretch: float) -> Callable[[int], Any]:
    """Import a contender, and return what makes its trigger for batch `i`."""
    later = time.time() + 86_400
    match case:
        case "empty":
            return lambda number: EmptyTrigger(stretch * LAST_END_SECONDS + interval)
        case "ours":
            ours = importlib.import_module("airflow_provider_kimi.triggers.batch").KimiBatchTrigger
            return lambda number: ours(batch_ids=[f"batch_{number}"], poll_interval=interval)
        case "openai":
            openai = importlib.import_module("airflow.providers.openai.triggers.openai").OpenAIBatchTrigger
            return lambda number: openai("bench_openai", f"batch_{number}", interval, timeout=86_400)
        case "anthropic":
            anthropic = importlib.import_module("airflow.providers.anthropic.triggers.batch").AnthropicBatchTrigger
            return lambda number: anthropic("bench_anthropic", f"batch_{number}", interval, later)
        case "common.ai":
            common = importlib.import_module("airflow.providers.common.ai.triggers.llm_batch").LLMBatchTrigger
            options = {"adapter": "openai", "cancel_on_kill": False, "cancel_on_timeout": False, "end_time": later}
            return lambda number: common(
                llm_conn_id="bench_common_ai", batch_id=f"batch_{number}", poll_interval=interval, **options
            )
    raise ValueError(case)


class Pulse:
    """Beats in the loop, and notes how late each beat comes; also how many threads there are and how much memory."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.most_threads = 0
        self.most_memory = 0

    async def beat(self) -> None:
        """Beat until cancelled."""
        count = 0
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT_SECONDS)
            self.lags.append(time.perf_counter() - before - BEAT_SECONDS)
            count += 1
            if count % 50 == 0:
                self.feel()

    def feel(self) -> None:
        """Note threads and memory; once more at the end, for one that has blocked every beat."""
        self.most_threads = max(self.most_threads, threading.active_count())
        self.most_memory = max(self.most_memory, resident())


def resident() -> int:
    """Resident memory of this process, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def ask(url: str) -> Any:
    """GET some JSON."""
    with build_opener(ProxyHandler({})).open(url) as reply:
        return json.loads(reply.read())


async def fire(trigger: Any, ends: list[float]) -> None:
    """Run one trigger to its event."""
    async for _ in trigger.run():
        ends.append(time.time())
        break


async def measure(case: str, count: int, interval: float, control: str) -> dict[str, Any]:
    """Run as many triggers at once, after a few that warm everything up."""
    stretch = interval / USUAL_INTERVAL
    make = make_triggers(case, min(interval, USUAL_INTERVAL), 0.25)
    ask(f"{control}/begin?n=3&stretch=0.25")
    await asyncio.gather(*(fire(make(number), []) for number in range(3)))
    make = make_triggers(case, interval, stretch)
    gc.collect()
    pulse, before, threads = Pulse(), resident(), threading.active_count()
    begun = ask(f"{control}/begin?n={count}&stretch={stretch}")["begun"]
    beating = asyncio.create_task(pulse.beat())
    await asyncio.sleep(0)
    cpu = time.process_time()
    ends: list[list[float]] = [[] for _ in range(count)]
    await asyncio.gather(*(fire(make(number), ends[number]) for number in range(count)))
    cpu = time.process_time() - cpu
    pulse.feel()
    beating.cancel()
    span = LAST_END_SECONDS - FIRST_END_SECONDS
    due = [begun + stretch * (FIRST_END_SECONDS + number / max(1, count - 1) * span) for number in range(count)]
    lags = sorted(pulse.lags)
    return {
        "cpu": cpu,
        "beats": len(lags),
        "lag_p99": lags[math.ceil(len(lags) * 0.99) - 1],
        "lag_max": lags[-1],
        "memory": max(0, pulse.most_memory - before) / count,
        "threads": pulse.most_threads - threads,
        "delay": max(end[0] - moment for end, moment in zip(ends, due, strict=True)),
        **ask(f"{control}/figures"),
    }


if __name__ == "__main__":
    contender, how_many, every, url = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(contender, int(how_many), float(every), url))))
