"""Large files pass through in little memory."""

import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

from airflow_provider_kimi.simulator import Answer, RowError
from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, call, create, jsonl, line

ROWS = 400
ROW_BYTES = 100_000
LITTLE = 12_000_000


def test_a_batch_takes_little_memory_however_large_its_files_are(start: Start) -> None:
    def respond(request: Mapping[str, Any]) -> Answer | RowError:
        said = "x" * ROW_BYTES
        return RowError("content_filter", said) if int(request["custom_id"]) % 4 == 0 else Answer(said)

    sim, client = start(options={"responder": respond})
    messages = [{"role": "user", "content": "y" * ROW_BYTES}]
    rows = jsonl(*(line(str(number), {"messages": messages}) for number in range(ROWS)))
    body = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n' + rows + b"\r\n--x--\r\n"
    )
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=x"}
    tracemalloc.start()
    try:
        stored = call(sim, "POST", "/files", body=body, headers=headers).json()
        batch_id = create(client, stored["id"]).id
        sim.advance(60)
        batch = client.batches.retrieve(batch_id)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored["bytes"] == len(rows) > ROWS * ROW_BYTES
    assert peak < LITTLE
    output, errors = (sim.file_content(str(file_id)) for file_id in (batch.output_file_id, batch.error_file_id))
    assert len(output) > ROWS * 3 // 4 * ROW_BYTES
    good = [int(json.loads(row)["custom_id"]) for row in output.splitlines()]
    assert good != sorted(good)
    assert sorted(good) == [number for number in range(ROWS) if number % 4]
    assert [int(json.loads(row)["custom_id"]) for row in errors.splitlines()] == list(range(0, ROWS, 4))
