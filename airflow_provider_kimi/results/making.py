"""A result on this machine: rows, dead letters and manifest, of batches alone or merged into an earlier result."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace as replace_fields

from airflow_provider_kimi.api.catalogue import PriceList
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.fetch import may_come_late
from airflow_provider_kimi.calls.patience import Calls, Log
from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.files.lines import digest_of_file, new_file
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.reading import Reading
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.sources import MisreadError
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.earlier import Earlier, EarlierFiles, find_earlier
from airflow_provider_kimi.results.formats import Formed, convert
from airflow_provider_kimi.results.input_types import arrow_types
from airflow_provider_kimi.results.kept_answers import KeptAnswers
from airflow_provider_kimi.results.landing import Landing
from airflow_provider_kimi.results.manifest import build_manifest, rounds_of
from airflow_provider_kimi.results.merge import merged_manifest
from airflow_provider_kimi.results.merging import AS_GIVEN, merge_rows
from airflow_provider_kimi.results.passed_columns import kept, result_names
from airflow_provider_kimi.results.promises import still_to_come
from airflow_provider_kimi.results.realtime import NO_REALTIME, Realtime
from airflow_provider_kimi.results.recipe_notes import NotesOfJob, read_notes, reading_of
from airflow_provider_kimi.results.reconcile import Sinks, write_rows
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.saved_rows import SavedRows
from airflow_provider_kimi.results.shards import by_shard
from airflow_provider_kimi.results.staging import DEAD_LETTER_NAME
from airflow_provider_kimi.results.table import Table, opened_table
from airflow_provider_kimi.results.tally import Tally

RESULTS_NAME = "results.jsonl"

#: What a message says in place of "Nothing was sent.", now that it is paid.
_AFTER_PAYMENT = (
    "The batches have ended and are billed as far as they ran; their results stay on the platform. Nothing was landed."
)


@dataclass(frozen=True)
class Made:
    """What is to be landed, beside the files of the batches; the dead letters lie beside the results."""

    manifest: Manifest
    tally: Tally
    results: Path
    before: EarlierFiles = EarlierFiles()
    realtime: Realtime = NO_REALTIME
    saved: SavedRows | None = None
    kept: KeptAnswers | None = None


def base_of(landing: Landing) -> Earlier | None:
    """The earlier result that the new one is merged into; None for none."""
    if landing.merge_with is None:
        return None
    base = find_earlier(landing.merge_with, landing.output)
    base.check_format(landing.form.output_format)
    return base


def made_of(
    calls: Calls,
    landing: Landing,
    base: Earlier | None,
    files: Sequence[BatchFiles],
    prices: PriceList,
    workshop: Path,
    realtime: Realtime = NO_REALTIME,
    saved: SavedRows | None = None,
) -> Made:
    """Make the result of batches.

    :param base: The earlier result that they are merged into; None for none.
    :param prices: What the tokens of these batches cost.
    :param workshop: A folder on this machine.
    :param realtime: What chat calls have answered.
    :param saved: The rows that were not sent; None if none could be saved.
    """
    if base is None:
        made = _made_alone(calls, landing, files, prices, workshop, realtime, saved)
    else:
        made = _merged(calls, landing, base, files, prices, workshop)
    letters = workshop / DEAD_LETTER_NAME
    digest = digest_of_file(letters) if letters.stat().st_size else UNSET
    manifest = made.manifest
    budget = landing.in_budget and landing.in_budget(manifest.cost, [of_batch.batch for of_batch in files])
    return replace(made, manifest=replace_fields(manifest, dead_letter_digest=digest, budget=budget or UNSET))


def _made_alone(
    calls: Calls,
    landing: Landing,
    files: Sequence[BatchFiles],
    prices: PriceList,
    workshop: Path,
    realtime: Realtime,
    saved: SavedRows | None,
) -> Made:
    """The result of the batches alone."""
    kept = KeptAnswers(calls.hook.settings.base_url) if landing.keeps_answers else None
    tally, keys = _write_rows(calls, landing, files, workshop, realtime=realtime, saved=saved, kept=kept)
    formed = _formed(workshop / RESULTS_NAME, landing, keys, calls.log)
    batches = [of_batch.batch for of_batch in files]
    manifest = build_manifest(
        batches,
        tally,
        prices=prices,
        guarded_cells=formed.guarded,
        landed_by=landing.task,
        saved=saved.header if saved else None,
        stored=kept.count if kept else 0,
    )
    return Made(manifest, tally, formed.path, realtime=realtime, saved=saved, kept=kept)


def _merged(
    calls: Calls, landing: Landing, base: Earlier, files: Sequence[BatchFiles], prices: PriceList, workshop: Path
) -> Made:
    """The earlier result with the answers of the batches in it.

    :raises KimiBatchError: It is to be replaced, and answers are still to come, which could not be added later.
    """
    batches = [of_batch.batch for of_batch in files]
    before = base.fetch(workshop / "before")
    letters = str(before.dead_letters) if before.dead_letters else []
    has_source = base.manifest.saved is not UNSET
    asked = replace(landing, input=letters, key_column=None, has_source=has_source)
    (new := workshop / "new").mkdir()
    tally, _ = _write_rows(calls, asked, files, new, AS_GIVEN)
    if base.is_output:
        _check_all_came(calls, base, files, tally)
    merged, formed = merge_rows(base, before, new, landing.form, asked.fields, workshop)
    merged.tally.leaked, merged.tally.unclaimed = tally.leaked, tally.unclaimed
    _report_unfit(formed, calls.log)
    if merged.set_aside:
        calls.log.warning(
            "Of the rows that were merged into the result in %s, %s. A row that is not there stands behind the others. "
            "Of the other ones the row stays as it was, and the answer is in the files of lines only.",
            *(base.uri, merged.set_aside),
        )
    manifest = build_manifest(batches, tally, prices=prices, landed_by=landing.task)
    rounds = rounds_of(batches, merged.taken)
    return Made(
        merged_manifest(base.manifest, manifest, merged, rounds, formed.guarded), merged.tally, formed.path, before
    )


def _check_all_came(calls: Calls, base: Earlier, files: Sequence[BatchFiles], tally: Tally) -> None:
    """Refuse to merge answers into the only copy of a result while others of the same batches are still to come."""
    batches = [of_batch.batch for of_batch in files]
    is_growing = tally.counts["missing"] > 0 and any(may_come_late(calls, batch) for batch in batches)
    if is_growing or still_to_come(batches) or any(of_batch.is_short for of_batch in files):
        raise KimiBatchError(
            f"Not every answer of {', '.join(batch.id for batch in batches)} is there yet, and what comes later could "
            f"not be added to {base.uri}, which is to be replaced. It is kept, and nothing was landed. Clear this task "
            "later, or give it another output: nothing is paid again.",
            retryable=True,
        )


def _write_rows(
    calls: Calls,
    landing: Landing,
    files: Sequence[BatchFiles],
    workshop: Path,
    known: Mapping[str | None, NotesOfJob] | None = None,
    realtime: Realtime = NO_REALTIME,
    saved: SavedRows | None = None,
    kept: KeptAnswers | None = None,
) -> tuple[Tally, Sequence[str]]:
    """Write a line of every row, with the columns of the input beside it if that is given; return its keys too.

    :param known: How the rows of the input were asked, if they are dead letters; None to read what the jobs noted.
    """
    shards = by_shard(files, lambda of_batch: of_batch.batch) or [[unsent_batch(saved, workshop)]]
    with ExitStack() as opened:
        results = opened.enter_context(new_file(workshop / RESULTS_NAME))
        dead_letters = opened.enter_context(new_file(workshop / DEAD_LETTER_NAME))
        table = None
        if landing.input is not None:
            notes = known or read_notes(calls, [of_batch.batch for of_batch in files], workshop) or _noted(saved)
            whole, values = [shard[0] for shard in shards], _values(landing.input, reading_of(notes.values()))
            rows = opened_table(
                *(whole, values, notes, landing.key_column, workshop / "input", landing.selection),
                landing.check.gold_column,
            )
            table = opened.enter_context(rows)
            if known:
                table.forget_added()
            _report_nulls(table, calls.log)
        lines = ResultLines(landing.fields)
        sinks = Sinks(results, dead_letters, landing.next_round, kept)
        tally = write_rows(shards, table, landing.check, lines, sinks, calls.log, realtime, saved)
        return tally, table.keys if table else ()


def unsent_batch(saved: SavedRows | None, workshop: Path) -> BatchFiles:
    """A batch that does not exist, of the rows of a job of which none was sent."""
    (requests := workshop / "unsent").touch()
    batch = Batch(id="", status="completed")
    return BatchFiles(batch, requests, None, None, None, answer_lines=0, is_whole=True, saved=saved)


def _noted(saved: SavedRows | None) -> Mapping[str | None, NotesOfJob]:
    """What a job noted of whose rows none was sent."""
    return {None: NotesOfJob(saved.header.note if saved else None)}


def _report_nulls(table: Table, log: Log) -> None:
    if table.not_finite:
        log.warning(
            "Numbers of the input that are infinite, or not a number, are null in the results: %s.",
            ", ".join(f"{count:,} in {name!r}" for name, count in table.not_finite.items()),
        )


def _formed(results: Path, landing: Landing, keys: Sequence[str], log: Log) -> Formed:
    """Write the results in the form that is wanted."""
    types = None
    if landing.form.output_format == "parquet" and (of_input := arrow_types(landing.input)) is not None:
        wanted = kept(of_input, landing.selection)
        types = {name: wanted[column] for column, name in result_names(wanted, landing.fields).items()}
    names = result_names(keys, landing.fields).values()
    formed = convert(results, landing.form, landing.fields, keys=names, input_types=types)
    _report_unfit(formed, log)
    return formed


def _report_unfit(formed: Formed, log: Log) -> None:
    if formed.unfit:
        described = ", ".join(f"{rows:,} in {name!r}" for name, rows in formed.unfit.items())
        log.warning("Values that do not fit the type of their Parquet column are null there: %s.", described)


def _values(source: Any, reading: Reading) -> Iterator[Any]:
    """The elements of the input; a fault in it is raised as what it is now: one that comes after the payment."""
    try:
        for item in Input(source, reading=reading, must_apply=False):
            yield item.value
    except MisreadError as error:
        cells = f" with {reading.delimiter!r} between cells" if reading.delimiter else ""
        raise KimiInputError(
            f"{error.found}. {_AFTER_PAYMENT} The results read their input as its create did, as "
            f"{reading.encoding or 'utf-8'}{cells}. Give the file in that form, or a function that yields its rows."
        ) from None
    except KimiInputError as error:
        raise KimiInputError(str(error).replace("Nothing was sent.", _AFTER_PAYMENT)) from None
