"""Which modules may touch clock, network, disk or event loop. Every other one is pure: values in, values out."""

import ast
from collections.abc import Iterator

from tests.architecture.modules import OWN_MODULES, imports_of, own_imports_of, tree_of

#: Every module that touches the world, or imports one that does.
IMPURE = {
    # Airflow's side
    *("compat/__init__.py", "compat/decorators.py", "compat/retries.py", "compat/triggers.py"),
    *(
        "context.py",
        "rendering.py",
        "lineage.py",
        "links.py",
        "outlets.py",
        "stats.py",
        "retry_policy.py",
        "airflow_errors.py",
    ),
    *(
        "hooks/clients.py",
        "hooks/deadline.py",
        "hooks/findings.py",
        "hooks/kimi.py",
        "hooks/lookup.py",
        "hooks/shared_clients.py",
    ),
    *("operators/batch.py", "operators/cache.py", "operators/cancel.py", "operators/create.py", "operators/files.py"),
    *(
        "operators/asking.py",
        "operators/job.py",
        "operators/landing.py",
        "operators/orphans.py",
        "operators/results.py",
        "sensors/batch.py",
        "decorators/kimi_batch.py",
        "triggers/batch.py",
        "triggers/ended_batches.py",
    ),
    *("tasks/asking.py", "tasks/cancel.py", "tasks/job_parts.py", "tasks/landing.py", "tasks/orphans.py"),
    *("tasks/results.py", "tasks/upstream.py", "tasks/waiting.py", "tasks/whole_job.py"),
    # calls of the platform, and bytes on a disk
    *("calls/batch_list.py", "calls/fetch.py", "calls/cancel.py", "calls/patience.py"),
    *("budgets/entries.py", "budgets/taking_back.py", "budgets/purse.py"),
    *("kills/airflow.py", "kills/cancels.py", "kills/thread.py"),
    *("files/lines.py", "files/locations.py"),
    *("cache/directory.py", "cache/store.py"),
    # the chapters
    *(
        "requests/chunks.py",
        "requests/inputs.py",
        "requests/media_files.py",
        "requests/order.py",
        "requests/prepare.py",
        "requests/preview.py",
    ),
    *(
        "requests/row_notes.py",
        "requests/saved_rows.py",
        "requests/saving.py",
        "requests/recoding.py",
        "requests/shards.py",
        "requests/skipped_rows.py",
        "requests/sources.py",
        "requests/spool.py",
        "requests/tables.py",
    ),
    *("submission/attach.py", "submission/create.py", "submission/ending.py", "submission/estimate.py"),
    *(
        "submission/failing.py",
        "submission/halving.py",
        "submission/in_flight.py",
        "submission/job.py",
        "submission/later.py",
    ),
    *("submission/rest.py", "submission/settle.py", "submission/submit.py"),
    *(
        "waiting/alone.py",
        "waiting/cancel.py",
        "waiting/clock.py",
        "waiting/looks.py",
        "waiting/pushes.py",
        "waiting/poll.py",
        "waiting/wait.py",
        "waiting/wait_log.py",
    ),
    "waiting/watcher.py",
    *("results/answer_files.py", "results/batch_files.py", "results/collect.py", "results/compared.py"),
    *(
        "results/input_rows.py",
        "results/kept_answers.py",
        "results/landing.py",
        "results/next_round.py",
        "results/outcomes.py",
        "results/overlap.py",
        "results/realtime.py",
        "results/recipe_notes.py",
        "results/saved_rows.py",
        "results/saved_files.py",
        "results/sent_rows.py",
        "results/storing.py",
        "results/switch.py",
        "results/table.py",
        "results/twins.py",
    ),
    *("results/csv_file.py", "results/input_types.py", "results/kept_columns.py"),
    *("results/before.py", "results/earlier.py", "results/lines_by_id.py", "results/making.py"),
    *("results/merging.py", "results/result_rows.py"),
    *("results/formats.py", "results/output_directory.py", "results/reconcile.py", "results/shortfall.py"),
    "report/page.py",
    *("account/delete.py", "account/ended_batches.py"),
    *(
        "jobs/checks.py",
        "jobs/before_spending.py",
        "jobs/realtime.py",
        "jobs/reserve.py",
        "jobs/rounds.py",
        "jobs/sampling.py",
    ),
    *("jobs/in_turns.py", "jobs/job_run.py", "jobs/preview.py"),
    *("jobs/taken_back.py", "jobs/wait.py", "jobs/whole_job.py"),
    *("common_ai/adapter.py", "common_ai/errors.py", "common_ai/request_lines.py", "common_ai/result_items.py"),
    *("ui/account.py", "ui/account_routes.py", "ui/holdings.py"),
    *("ui/access.py", "ui/accounts.py", "ui/app.py", "ui/batch_routes.py", "ui/glance.py", "ui/plugin.py"),
    *("ui/detail_routes.py", "ui/single_reads.py"),
    *("ui/airflow_records.py", "ui/landed_result.py", "ui/task_routes.py"),
}

#: Libraries that touch the world.
WORLDLY = {
    *("airflow", "asyncio", "concurrent", "fsspec", "httpx", "os", "random", "secrets", "shutil", "signal", "socket"),
    *("subprocess", "tempfile", "threading", "time"),
}

#: Calls that read a clock or a disk, of whatever they are asked.
CALLS = {
    *("now", "today", "utcnow", "open", "read_bytes", "read_text", "write_bytes", "write_text", "stat", "exists"),
    *("is_dir", "is_file", "iterdir", "glob", "rglob", "mkdir", "rmdir", "rename", "touch", "unlink", "absolute"),
}

#: Calls of the platform, blocking or not.
API = {
    *(
        "upload_file",
        "create_batch",
        "get_batch",
        "list_batches",
        "cancel_batch",
        "list_files",
        "download_file",
        "list_all_files",
    ),
    *("delete_file", "list_models", "get_balance", "estimate_tokens", "chat"),
}


def touches(module: str) -> Iterator[str]:
    """What a module does with the world itself."""
    yield from (f"imports {name}" for name in imports_of(module) if name.split(".")[0] in WORLDLY)
    for node in ast.walk(tree_of(module)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in CALLS:
                yield f"calls {name}"
            case ast.Attribute(attr=name) if name in API or name.removeprefix("a") in API:
                yield f"uses {name}"
            case ast.AsyncFunctionDef(name=name):
                yield f"async def {name}"


def test_only_the_listed_modules_touch_clock_network_disk_or_loop() -> None:
    why = {module: list(touches(module)) for module in OWN_MODULES}
    found = {module for module, reasons in why.items() if reasons}
    while more := {module for module in OWN_MODULES if own_imports_of(module) & found} - found:
        why |= {module: [f"imports {name}" for name in own_imports_of(module) & found] for module in more}
        found |= more
    assert {module: why[module] for module in found - IMPURE} == {}, "these are not pure"
    assert IMPURE - found == set(), "these are pure: take them from the list"
