"""Runs triggers as the triggerer does, and fails where one of them blocks the event loop."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from io import BytesIO
from typing import Any

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.events import BatchEvent
from airflow_provider_kimi.triggers.batch import KimiBatchTrigger
from tests.support.requests import request


async def fire(trigger: KimiBatchTrigger) -> BatchEvent:
    """Run a trigger to its one event."""
    events = [event async for event in trigger.run()]
    assert len(events) == 1
    return BatchEvent.from_dict(events[0].payload)


def fired(
    triggers: Sequence[KimiBatchTrigger], meanwhile: Callable[[], Coroutine[Any, Any, Any]] | None = None
) -> list[BatchEvent]:
    """Run triggers together in one event loop, beside something else; their events in the same order."""
    from blockbuster import blockbuster_ctx  # benchmarks run operators without it

    async def run() -> list[BatchEvent]:
        with blockbuster_ctx():
            beside = asyncio.create_task(meanwhile()) if meanwhile else None
            events = await asyncio.gather(*map(fire, triggers))
            if beside is not None and not beside.done():
                beside.cancel()
            elif beside is not None:
                await beside
            return events

    return asyncio.run(run())


def created(hook: KimiHook, count: int, metadata: dict[str, str] | None = None) -> list[str]:
    """Create many batches of one input file, straight through the API."""
    lines = [json.dumps(request(custom_id)) + "\n" for custom_id in ("a", "b")]
    file_id = hook.upload_file(BytesIO("".join(lines).encode()), "input.jsonl").id
    return [hook.create_batch(file_id, metadata=metadata).id for _ in range(count)]
