"""Create: the operator that makes batches from an input."""

from __future__ import annotations

from typing import Any

from airflow_provider_kimi.compat import Context
from airflow_provider_kimi.files.locations import as_uri
from airflow_provider_kimi.operators.asking import AskingOperator
from airflow_provider_kimi.rendering import given


class KimiCreateBatchOperator(AskingOperator):
    """Check an input, upload it, and create a batch from it, or several if it is too large for one.

    The worker reads and checks the whole input before the first call; its memory does not grow with the input. The
    platform is the record of what was submitted: before a create, the task searches the account's batches for the same
    work of an earlier attempt, and after it for work that raced. Each create is sent once. If its answer is lost, the
    task searches for the batch before it sends anything again.

    Pushes ``input_file_ids``, ``request_count`` and, if there is just one batch, ``batch_id``.

    :param input: A URI, a list, a ``DataFrame``, or a function that returns or yields rows and gets what it asks of
        Airflow's context (``def rows(ds, **context)``). A URI names a Kimi-ready ``.jsonl`` file (lines of ``custom_id,
        method, url, body``), a table (``.jsonl``, ``.ndjson``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet``, with
        ``prompt``, ``messages`` or ``body``), a directory of such files, or a pattern such as ``data/**/*.jsonl``; text
        files may be compressed (``.gz``, ``.zst``). A list, up to 1 MB, holds prompts, chats (lists of messages), rows
        or ready requests. A URI is templated; what rows hold never is.
    :param csv_options: The form of CSV files, as ``{"delimiter": ";"}``. None for a comma, and for a tab in ``.tsv``
        files. A byte order mark and quotes are read in any case. Refused, as ``encoding`` is, beside an input that has
        no such files. The results read their ``input`` in the same way.
    :param encoding: Of text files, as Python names it, such as ``gb18030``. The results read their ``input`` with it
        too.
    :param model: Model of every request. None takes that of the connection (``kimi-k2.6`` if it names none), or for
        ready requests the model that they name. Templated.
    :param prompt: For tables, the user message as a ``str.format`` text over columns: ``"Classify: {text}"``. Jinja
        never renders it, so a literal brace is written ``{{``.
    :param system_prompt: System message of every request; a text over columns too, if there is a ``prompt``. None for
        no system message.
    :param messages: Instead of ``prompt``: a list of messages whose texts are ``str.format`` texts over columns, or a
        function from a row to messages. Jinja never renders it.
    :param body: Instead of ``prompt``: the request body, whose ``messages`` hold ``str.format`` texts and whose other
        keys are sent unchanged, or a function from a row to a body. It needs no ``model``.
    :param image_column: Column or columns that hold images: a path, a URI, bytes, an ``ms://`` or ``data:`` address, a
        list of them, or nothing. They are put before the text of the last user message.
    :param video_column: Column or columns that hold videos.
    :param media: ``base64`` puts images and videos into the requests, which counts towards the 100 MB of a batch;
        ``upload`` stores each different one once on the platform, which counts towards its 1,000 files.
    :param key_column: Column whose value becomes the ``custom_id``, or a list of columns that make a key together. A
        key that is long or has unusual characters is sent under a short name made from it. None numbers the rows.
        Templated; the text of a list is a list.
    :param request_params: Further keys of every request body, such as ``max_completion_tokens``. Templated: what a
        template gives is text, or the value of one expression where the DAG renders native objects.
    :param output_schema: What every answer has to be, as given to the results. A JSON Schema or a Pydantic model is
        sent as ``response_format``, unless ``request_params`` or ``body`` has one, or its root is an array, which comes
        back unreliably. It is written in the dialect of JSON Schema that Kimi takes, and refused where that cannot be
        done, as are the schemas in ``request_params``, in ``body`` and in the input; answers are judged by what is
        given here. A list of labels is not sent: name them in the prompt. None asks for any text.
    :param thinking: ``enabled`` or ``disabled``; None leaves it to the model, which thinks.
    :param on_invalid_row: ``fail`` sends nothing if a row cannot be sent, and names up to 20 such rows. ``skip`` leaves
        them out; they come back as ``invalid`` results and in ``dead_letter.jsonl``. The platform keeps their places,
        names and reasons, never what they hold: the results read that again from their ``input``.
    :param max_rows_per_batch: Rows of one batch; None for as many as fit into 100 MB. Smaller batches need a smaller
        balance at their start.
    :param parameter_check: What becomes of a body with a parameter that its model does not take: ``fail`` refuses it,
        ``drop`` takes the parameter out, ``off`` sends it, JSON Schemas too, and does not check the model either.
    :param parameter_rules: Rules that replace or lift the published ones: pattern of models -> key -> ``{"fixed":
        "to what"}``, ``{"forbidden": "why"}`` or ``{"conflicts": ["key"]}``, with ``"values": [...]`` if only these
        are meant, or None to lift a rule.
    :param completion_window: How long the platform may take, ``12h`` to ``7d``. Templated.
    :param metadata: Pairs of text to tag the batches with, beside the eight of this provider (nine if rows are left
        out); 16 in all. With seven or fewer there is room for the mark of the create, by which one whose answer is lost
        is found most surely. Templated; the text of a mapping is one.
    :param reuse: ``auto`` attaches to the live or completed batches of an earlier attempt (a retry or a clear of this
        task in this run, with the same input); of one that failed, expired or was cancelled, see ``on_ended``.
        ``never`` pays for new work in every attempt, as does ``{"kimi_force_fresh": true}`` in the conf of a run.
    :param on_changed_input: What to do if an earlier attempt submitted another input: ``fail`` says what changed and
        sends nothing; ``fresh`` submits the new input as well; ``cancel_and_fresh`` first cancels what still runs (not
        for a mapped task, where it may be a sibling's).
    :param on_ended: What to ask of a shard whose batch expired, failed or was cancelled after rows of it were answered,
        which are paid: ``rest`` submits only the rows without an answer, and returns both ids, which the results join
        to one row for each request; ``resubmit`` pays for all rows again; ``fail`` sends nothing and says what was
        done.
    :param on_final_failure: What becomes of the batches that exist when the task fails for good halfway: ``keep`` lets
        them go on, and a clear attaches to them; ``cancel`` cancels them.
    :param cancel_on_kill: Cancel what runs of this task instance if it or its run is marked failed while it submits, or
        the run times out. Whatever kills the task, it creates nothing more.
    :param max_batches_searched: How many of the account's batches are searched for earlier work, newest first if the
        platform lists them so. If more would have to be searched, nothing is sent.
    :param kimi_conn_id: Airflow connection. Templated.
    :return: The batch ids, in the order of the input: one for an input within the limits of one file.
    :raises AirflowFailException: The input, a parameter, the key or the account is refused, or a retry would pay twice.
    """

    ui_color = "#d9e8ff"

    _batch_ids: list[str] | None = None

    def execute(self, context: Context) -> list[str]:
        """Check, upload, create."""
        from airflow_provider_kimi.tasks.asking import AskingTask

        self._task = task = AskingTask(self, context)
        self._batch_ids = batch_ids = task.submit().batch_ids
        if len(batch_ids) == 1:
            context["ti"].xcom_push("batch_id", batch_ids[0])
        return batch_ids

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Report the input and the batches to OpenLineage."""
        if self._batch_ids is None:
            return None
        from airflow_provider_kimi.lineage import lineage_of_batches

        return lineage_of_batches(self._batch_ids, self.kimi_conn_id, as_uri(given(self.input)))
