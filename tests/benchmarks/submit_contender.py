"""One contender of bench_submit in a process of its own: imports and a small submit first, then the measured one.

Run as `python -m tests.benchmarks.submit_contender CASE INPUT WARM_UP_INPUT BASE_URL`; the last line that it prints
is its figures. The names of the environment (`AIRFLOW_HOME`, the connection) are set by bench_submit.
"""

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.benchmarks.peak_memory import Measured, measure
from tests.benchmarks.submit_rows import MAX_COMPLETION_TOKENS, MODEL, PROMPT, SYSTEM_PROMPT

IDEMPOTENCY_KEY = "bench-0123456789"


def ours(path: Path, **parameters: Any) -> None:
    """Run the create operator as a worker does: check, look for earlier work, upload, create."""
    from airflow_provider_kimi.operators.batch import KimiCreateBatchOperator
    from tests.support.tasks import run_task

    attempt = run_task(KimiCreateBatchOperator(task_id="create", input=str(path), **parameters))
    assert attempt.value, "no batch was created"


def ours_ready(path: Path) -> None:
    """Submit a file of requests."""
    ours(path)


def ours_table(path: Path) -> None:
    """Submit a table through a prompt."""
    ours(
        path,
        prompt=PROMPT,
        system_prompt=SYSTEM_PROMPT,
        key_column="review_id",
        request_params={"max_completion_tokens": MAX_COMPLETION_TOKENS},
    )


def their_requests(path: Path) -> list[dict[str, Any]]:
    """Read the table into the list that their adapter takes, as a user would."""
    with path.open(encoding="utf-8") as source:
        return [{"prompt": PROMPT.format(**json.loads(line))} for line in source]


def theirs(requests: list[dict[str, Any]], base_url: str) -> None:
    """Check and submit through their adapter; their operator's own work around it is left out."""
    package = "airflow.providers.common.ai.batch"
    adapter = importlib.import_module(f"{package}.openai").OpenAIBatchAdapter(
        api_key="sk-bench", base_url=f"{base_url}/v1"
    )
    common = {
        "model": MODEL,
        "output_spec": importlib.import_module(f"{package}.output_schema").build_output_spec(str),
        "idempotency_key": IDEMPOTENCY_KEY,
        "system_prompt": SYSTEM_PROMPT,
        "max_tokens": MAX_COMPLETION_TOKENS,
    }
    adapter.validate_requests(requests, **common)
    assert adapter.submit(requests, input_fingerprint="0" * 64, **common).batch_id


def measured_ours(submit: Callable[[Path], None], path: Path, warm_up: Path) -> dict[str, Measured]:
    """Measure one of ours, without its pause for the platform's clock, in which it does nothing."""
    from airflow_provider_kimi.submission.settle import SETTLE_SECONDS

    submit(warm_up)
    whole = measure(lambda: submit(path))
    return {"submit": replace(whole, seconds=whole.seconds - SETTLE_SECONDS)}


def measured_theirs(path: Path, warm_up: Path, base_url: str) -> dict[str, Measured]:
    """Measure theirs twice: from the table, and from the list that was read from it."""
    theirs(their_requests(warm_up), base_url)
    requests: list[dict[str, Any]] = []
    reading = measure(lambda: requests.extend(their_requests(path)))
    submit = measure(lambda: theirs(requests, base_url))
    whole = Measured(reading.seconds + submit.seconds, reading.before, max(reading.peak, submit.peak))
    return {"submit": submit, "with reading": whole}


def main(case: str, path: str, warm_up: str, base_url: str) -> None:
    """Measure one case and print it."""
    if case == "theirs":
        found = measured_theirs(Path(path), Path(warm_up), base_url)
    else:
        found = measured_ours({"ready": ours_ready, "table": ours_table}[case], Path(path), Path(warm_up))
    print(json.dumps({name: [value.seconds, value.growth] for name, value in found.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
