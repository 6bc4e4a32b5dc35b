"""Land the output and error files, reconcile them with the requests, and write the result, the manifest last."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.fetch import may_come_late
from airflow_provider_kimi.calls.patience import Calls, Log
from airflow_provider_kimi.exceptions import KimiApiError, KimiInputError
from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.reading import Reading
from airflow_provider_kimi.requests.inputs import Input
from airflow_provider_kimi.requests.keys import KeyColumns
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.batch_files import BatchFiles, FilesFetcher, read_ended_batches
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.formats import OutputFormat, check_format, convert
from airflow_provider_kimi.results.manifest import ask_the_rest, billed, build_manifest, changed_input
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.promises import holds_all, still_to_come
from airflow_provider_kimi.results.recipe_notes import read_notes, reading_of
from airflow_provider_kimi.results.reconcile import write_rows
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.shards import by_shard
from airflow_provider_kimi.results.table import opened_table
from airflow_provider_kimi.results.tally import Tally

OUTPUT_NAME = "output.jsonl"
ERROR_NAME = "error.jsonl"
RESULTS_NAME = "results.jsonl"
DEAD_LETTER_NAME = "dead_letter.jsonl"


@dataclass(frozen=True)
class Landing:
    """What to land, and where.

    :param input: The input that the batches were made from, for its columns; None for none.
    :param key_column: The column or columns that name its rows; None if their places do.
    :param output_format: Format of the results file.
    :param may_replace: Whether the result of other batches may be replaced, if the directory holds one.
    :param price_list: Prices to use in place of the published ones; None for those.
    """

    batch_ids: Sequence[str]
    output: str
    input: Any = None
    key_column: KeyColumns | None = None
    price_list: Mapping[str, Any] | None = None
    check: AnswerCheck = AnswerCheck()
    output_format: OutputFormat = "jsonl"
    may_replace: bool = True

    @property
    def fields(self) -> Sequence[str]:
        """The fields of a results row, in order."""
        return [name for name in self.check.fields if self.input is not None or name != "input_change"]


@dataclass(frozen=True)
class Collected:
    """A landed result.

    :param directory: Where it is.
    :param is_whole: Whether every file that the batches promise came whole, and every line belongs to a row.
    :param is_kept: Whether an earlier landing wrote it, and this one nothing.
    """

    manifest: Manifest
    tally: Tally
    batches: list[Batch]
    directory: OutputDirectory
    is_whole: bool
    is_kept: bool = False

    @property
    def to_come(self) -> str:
        """Which files are still to come, in words; empty if none is."""
        return still_to_come(self.batches)

    def is_in_place(self) -> bool:
        """Whether the directory holds now what this landing wrote, or the earlier result that it kept."""
        return self.directory.rows_are_of(self.manifest) if self.is_kept else self.directory.is_as_published()


def collect(calls: Calls, landing: Landing) -> Collected:
    """Land the result of batches that have ended, in whatever status.

    An earlier result of these batches is replaced by an equal or better one only: it is kept if a file that it was
    made from is no longer on the platform.

    A file that is still to come after a minute is not waited for: what there is is landed, and the log says so.

    :raises KimiBatchError: A batch has not ended yet.
    :raises KimiResultError: A file could not be downloaded whole.
    """
    check_format(landing.output_format)
    prices = read_price_list(landing.price_list, calls.hook.settings.billing_region)
    directory = OutputDirectory(landing.output)
    batches = read_ended_batches(calls, landing.batch_ids)
    with TemporaryDirectory(prefix="kimi-collect-") as folder:
        workshop = Path(folder)
        earlier = directory.manifest_of(landing.batch_ids)
        try:
            files = FilesFetcher(calls, workshop, needs_all=earlier is not None).fetch(batches)
        except KimiApiError as error:
            if earlier is None or error.status_code != 404:
                raise
            _check_kept(earlier, landing)
            calls.log.warning("%s The result that was landed in %s before is kept.", error, landing.output)
            whole = holds_all(earlier, batches)
            return Collected(earlier, Tally.of_manifest(earlier), batches, directory, whole, is_kept=True)
        tally = _write_rows(calls, landing, files, workshop)
        formatted = _formatted(workshop / RESULTS_NAME, landing)
        _check_replaced(directory, landing, calls.log)
        landed = _publish(directory, workshop, files, formatted)
        manifest = build_manifest(batches, tally, prices=prices, files=landed)
        directory.publish_manifest(manifest, workshop)
    if tally.leaked:
        calls.log.warning("%s answers held the model's thoughts, which were removed.", tally.leaked)
    log = calls.log.warning if tally.unusable else calls.log.info
    log("Landed in %s: %s. %s.", landing.output, tally.summary(), billed(manifest))
    # A completed batch has a line for every row in the end, whatever its counts say meanwhile.
    is_growing = tally.counts["missing"] > 0 and any(may_come_late(calls, batch) for batch in batches)
    is_whole = not tally.unclaimed and not is_growing and all(of_batch.is_whole for of_batch in files)
    collected = Collected(manifest, tally, batches, directory, is_whole)
    if notes := " ".join(filter(None, (collected.to_come, ask_the_rest(manifest), changed_input(manifest)))):
        calls.log.warning("%s", notes)
    return collected


def _write_rows(calls: Calls, landing: Landing, files: Sequence[BatchFiles], workshop: Path) -> Tally:
    """Write a line of every row, with the columns of the input beside it if that is given."""
    shards = by_shard(files, lambda of_batch: of_batch.batch)
    with ExitStack() as opened:
        results = opened.enter_context(new_file(workshop / RESULTS_NAME))
        dead_letters = opened.enter_context(new_file(workshop / DEAD_LETTER_NAME))
        table = None
        if landing.input is not None:
            notes = read_notes(calls, [of_batch.batch for of_batch in files], workshop)
            whole, values = [shard[0] for shard in shards], _values(landing.input, reading_of(notes.values()))
            kept = opened_table(whole, values, notes, landing.key_column, workshop / "input")
            table = opened.enter_context(kept)
        return write_rows(shards, table, landing.check, ResultLines(landing.fields), results, dead_letters, calls.log)


def _check_replaced(directory: OutputDirectory, landing: Landing, log: Log) -> None:
    """Warn that the result of other batches is replaced, or refuse to replace it."""
    earlier = directory.earlier
    if earlier is None or set(earlier.batch_ids) <= set(landing.batch_ids):
        return
    held, ids = f"{landing.output} holds the result of other batches", ", ".join(earlier.batch_ids)
    if not landing.may_replace:
        raise KimiInputError(
            f"{held}, which may be the only copy. It is kept, and nothing was landed or deleted; the results of this "
            "task stay on the platform. Give each result, and each mapped task, its own directory, such as one with "
            f"{{{{ run_id }}}} and {{{{ ti.map_index }}}} in its name. Batches of that result: {ids}."
        )
    log.warning("%s, which is replaced. Give each result its own directory. Batches of that result: %s.", held, ids)


def _check_kept(earlier: Manifest, landing: Landing) -> None:
    """Refuse to keep a result of another format than the one that is wanted."""
    results = earlier.results_file
    if results and not results.endswith(f".{landing.output_format}"):
        raise KimiInputError(
            f"The result in {landing.output} is {results.rsplit('/', 1)[-1]}, and cannot be landed again as "
            f"{landing.output_format}, because files of its batches are no longer on the platform. It is kept. Convert "
            "that file, or set output_format back."
        )


def _formatted(results: Path, landing: Landing) -> Path:
    if landing.output_format == "jsonl":
        return results
    target = results.with_suffix(f".{landing.output_format}")
    convert(results, target, landing.output_format, landing.fields)
    return target


def _values(source: Any, reading: Reading) -> Iterator[Any]:
    """The elements of the input; a fault in it is raised as what it is now: one that comes after the payment."""
    try:
        for item in Input(source, reading=reading):
            yield item.value
    except KimiInputError as error:
        now = "The batches have ended and are billed as far as they ran; their results stay on the platform."
        raise KimiInputError(str(error).replace("Nothing was sent.", f"{now} Nothing was landed.")) from None


def _publish(
    directory: OutputDirectory, workshop: Path, files: Sequence[BatchFiles], results: Path
) -> dict[str, str | None]:
    """Publish every file that has content, and delete what an earlier landing left of the others."""
    wanted: dict[str, tuple[str, Sequence[Path | None]]] = {
        "output_file": (OUTPUT_NAME, [of_batch.output for of_batch in files]),
        "error_file": (ERROR_NAME, [of_batch.error for of_batch in files]),
        "results_file": (results.name, [results]),
        "dead_letter_file": (DEAD_LETTER_NAME, [workshop / DEAD_LETTER_NAME]),
    }
    held = {name: [path for path in paths if path and path.stat().st_size] for name, paths in wanted.values()}
    directory.withdraw(
        *(name for name in (OUTPUT_NAME, ERROR_NAME, RESULTS_NAME, DEAD_LETTER_NAME) if not held.get(name))
    )
    return {field: directory.publish(name, *held[name]) if held[name] else None for field, (name, _) in wanted.items()}
