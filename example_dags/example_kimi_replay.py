"""
Ask the rows of a result again that have no usable answer, and merge the answers into it.

Started by hand or by API. ``Dead letters`` is the ``dead_letter.jsonl`` of any result: of the chain, of the one task,
or of a run of this DAG. They are asked in the same words. ``Earlier result`` is the directory that they lie in. The
merged result has all of its rows, and the earlier one stays as it is; without it, the new answers stand alone.

``Answers`` and ``Format`` have to be as the earlier task had them. That is checked before anything is paid, as far as
the columns of its results say so. For a task with ``parsed_columns``, ``reasoning``, ``check`` or options for CSV, copy
this DAG and give both of its operators the same.
"""

import json
from collections.abc import Mapping, Sequence, Set
from tempfile import gettempdir
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_kimi.operators.batch import KimiBatchOperator, KimiBatchResultsOperator


def columns_of(results: ObjectStoragePath) -> Sequence[str]:
    """Read the names of the columns of a results file."""
    with results.open("rb") as file:
        if results.suffix == ".parquet":
            from pyarrow import parquet

            return list(parquet.read_schema(file).names)
        line = file.readline().decode()
    return list(json.loads(line)) if results.suffix == ".jsonl" else line.strip().split(",")


def asked_in(letters: ObjectStoragePath) -> Set[int]:
    """Read which rows dead letters have and what these ask, each as a number."""
    with letters.open("rb") as file:
        rows = map(json.loads, file)
        return {hash((row["custom_id"], json.dumps(row.get("body", {}).get("messages")))) for row in rows}


with DAG(
    dag_id="example_kimi_replay",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    params={
        "dead_letters": Param(
            "",
            type="string",
            pattern=r"dead_letter\.jsonl$",
            title="Dead letters",
            description="The dead_letter.jsonl of the result.",
        ),
        "merge_with": Param(
            None,
            type=["null", "string"],
            title="Earlier result",
            description="The directory of that result. Empty to land the new answers alone.",
        ),
        "output": Param(
            f"{gettempdir()}/example_kimi_replay",
            type="string",
            title="Directory of the new result",
            description="Each run has a directory in it: asked has the new answers, merged the whole result.",
        ),
        "output_schema": Param(
            None,
            type=["null", "object", "array"],
            title="Answers",
            description='The output_schema of the earlier task, as JSON: ["positive", "negative"]. Empty for none.',
        ),
        "output_format": Param("jsonl", enum=["jsonl", "csv", "parquet"], title="Format of the results"),
        "kimi_conn_id": Param("kimi_default", type="string", title="Connection"),
    },
    tags=["example", "kimi"],
    doc_md=__doc__,
):

    @task
    def as_before(params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return how answers are checked and written; refuse what could not be merged once it is paid."""
        chosen = params or {}
        earlier, form, schema = chosen["merge_with"], chosen["output_format"], chosen["output_schema"] or None
        if earlier and ("parsed" in columns_of(ObjectStoragePath(earlier) / f"results.{form}")) is (schema is None):
            raise ValueError(
                "Only one of the earlier result and this run has Answers to check. Nothing was sent. Start another run "
                "with the output_schema of the earlier task, or without one if it had none."
            )
        if earlier:
            given, own = ObjectStoragePath(chosen["dead_letters"]), ObjectStoragePath(earlier) / "dead_letter.jsonl"
            if asked_in(given).isdisjoint(asked_in(own)):
                raise ValueError(
                    "None of the dead letters is one of the earlier result. Nothing was sent. Start another run with "
                    "the dead_letter.jsonl of that result, or without merge_with."
                )
        return [{"output_schema": schema, "output_format": form}]

    @task
    def merges(settings: list[dict[str, Any]], params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return what the merge takes; nothing skips it."""
        return settings if (params or {})["merge_with"] else []

    settings = as_before()
    ask = KimiBatchOperator.partial(
        task_id="ask",
        input="{{ params.dead_letters }}",
        output="{{ params.output }}/{{ run_id }}/asked",
        on_incomplete="continue",
        kimi_conn_id="{{ params.kimi_conn_id }}",
    ).expand_kwargs(settings)
    merge = KimiBatchResultsOperator.partial(
        task_id="merge",
        batch_id="{{ ti.xcom_pull('ask', map_indexes=0)['batch_ids'] }}",
        merge_with="{{ params.merge_with }}",
        output="{{ params.output }}/{{ run_id }}/merged",
        kimi_conn_id="{{ params.kimi_conn_id }}",
    ).expand_kwargs(merges(settings))  # type: ignore[arg-type]
    ask >> merge
