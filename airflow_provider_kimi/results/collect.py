"""Land the output and error files, reconcile them with the requests, and write the result, the manifest last."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import UNSET

from airflow_provider_kimi.api.catalogue import PriceList
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.calls.fetch import may_come_late
from airflow_provider_kimi.calls.patience import Calls, Log
from airflow_provider_kimi.exceptions import KimiApiError, KimiInputError
from airflow_provider_kimi.files.locations import location_of
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.outside import plain_location
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.results.batch_files import BatchFiles, FilesFetcher, read_ended_batches
from airflow_provider_kimi.results.cost import read_price_list
from airflow_provider_kimi.results.drift import with_drift
from airflow_provider_kimi.results.earlier import Earlier
from airflow_provider_kimi.results.formats import check_format
from airflow_provider_kimi.results.kept_columns import check_columns_kept
from airflow_provider_kimi.results.landing import Collected, Landing
from airflow_provider_kimi.results.making import RESULTS_NAME, Made, base_of, made_of
from airflow_provider_kimi.results.manifest import ask_the_rest, billed, changed_input, identity_of, with_files
from airflow_provider_kimi.results.output_directory import NOT_LANDED, OutputDirectory
from airflow_provider_kimi.results.overlap import overlap
from airflow_provider_kimi.results.promises import holds_all
from airflow_provider_kimi.results.quality_limits import quality_said, unknown_gold
from airflow_provider_kimi.results.realtime import NO_REALTIME, RealtimeFiles, read_realtime, without_parts
from airflow_provider_kimi.results.replacing import check_not_poorer, check_replaced, is_same_landing
from airflow_provider_kimi.results.report_facts import ReportFacts
from airflow_provider_kimi.results.result_rows import report_rows
from airflow_provider_kimi.results.saved_rows import SavedRows, fetch_saved, saved_name
from airflow_provider_kimi.results.staging import (
    DEAD_LETTER_NAME,
    ERROR_NAME,
    MANIFEST_NAME,
    OUTPUT_NAME,
    REALTIME_NAME,
    REPORT_NAME,
    SAVED_NAME,
    name_of,
    staged_files,
)
from airflow_provider_kimi.results.switch import OvertakenError, Switch
from airflow_provider_kimi.results.tally import Tally


def check_place(landing: Landing) -> None:
    """Refuse an output in which a result could not be landed, before anything is sent for it."""
    now = "Nothing was sent."
    _check_apart(landing, now)
    OutputDirectory(landing.output).check_free(landing.file_names, now)


def collect(calls: Calls, landing: Landing) -> Collected:
    """Land the result of batches that have ended, in whatever status.

    An earlier result of these batches is replaced by an equal or better one only, and whole: it is kept if a file that
    it was made from is no longer on the platform, and at any error before the new one is complete.

    A file that is still to come after a minute is not waited for: what there is is landed, and the log says so.

    :raises KimiBatchError: A batch has not ended yet.
    :raises KimiResultError: A file could not be downloaded whole, or the result would be poorer than the earlier one.
    """
    prices = read_price_list(landing.price_list, calls.hook.settings.billing_region)
    directory = checked_output(landing)
    switch = Switch(directory, landing.new_name(), directory.manifest_bytes(), calls.sleep)
    directory.check_free(landing.file_names)
    held = _finished(switch, landing.begin_of_names, calls.log)
    base = base_of(landing)
    new_ids = base.new_among(landing.batch_ids) if base else landing.batch_ids
    if base and not new_ids:
        return _kept_merged(calls, landing, base, directory)
    batches = read_ended_batches(calls, new_ids)
    with TemporaryDirectory(prefix="kimi-collect-") as folder:
        collected = _landed(calls, landing, switch, base, held, batches, prices, Path(folder))
    return collected if collected.is_kept else _reported(calls, landing, collected)


def _landed(
    calls: Calls,
    landing: Landing,
    switch: Switch,
    base: Earlier | None,
    held: Manifest | None,
    batches: list[Batch],
    prices: PriceList,
    workshop: Path,
) -> Collected:
    """Make a result on this machine and put it into its place, or keep the one that is there.

    :param base: The result that the batches are merged into; None for none.
    :param held: The result that the directory holds; None for none.
    """
    directory = switch.directory
    saved = None if base else fetch_saved(directory, saved_name(landing.saved, batches), workshop / SAVED_NAME)
    landing = replace(landing, has_source=saved is not None)
    works = _works(base, batches, saved)
    earlier = _earlier(held, landing, works, calls.log)
    same = earlier if earlier and earlier.works == works else None
    try:
        files = FilesFetcher(calls, workshop, needs_all=same is not None).fetch(batches)
    except KimiApiError as error:
        if same is None or error.status_code != 404:
            raise
        _check_kept(same, landing)
        calls.log.warning("%s The result that was landed in %s before is kept.", error, landing.output)
        if saved and same.saved_file and directory.has(name_of(same.saved_file)):
            _clear_parts(directory, [saved.name], calls.log)
        return _kept(same, batches, directory)
    realtime = NO_REALTIME if base else read_realtime(directory, earlier, batches, workshop / "realtime")
    files = [_with_saved(of_batch, saved) for of_batch in files]
    made = made_of(calls, landing, base, files, prices, workshop, realtime, saved)
    made = _compared(landing, made, held)
    if earlier is not None:
        _check_no_worse(landing, made.manifest, earlier, workshop / RESULTS_NAME)
    return _switched(switch, landing, made, files, workshop, calls.log)


def _works(base: Earlier | None, batches: Sequence[Batch], saved: SavedRows | None) -> set[str]:
    """What a result is of, as its manifest will say."""
    found = {*(base.manifest.works if base else ()), *(batch.id for batch in batches)}
    return found or {saved.header.fingerprint if saved else ""}


def _switched(
    switch: Switch, landing: Landing, made: Made, files: Sequence[BatchFiles], workshop: Path, log: Log
) -> Collected:
    """Put a result into its place; keep an equal one that another attempt has put there meanwhile."""
    directory, batches = switch.directory, [of_batch.batch for of_batch in files]
    steps = switch.steps(
        _with_report(landing, made, batches, _finished_files(workshop, files, made), workshop, log),
        lambda uris: with_files(made.manifest, uris),
        with_digests=not landing.may_replace,
    )
    try:
        manifest = _last(switch, steps, log)
    except OvertakenError:
        now = directory.earlier
        if now is None or not is_same_landing(now, made.manifest):
            raise
        log.warning("Another attempt of this task has landed the same in %s meanwhile.", landing.output)
        return _kept(now, batches, directory)
    _clear_parts(directory, [*made.realtime.parts, *([made.saved.name] if made.saved else ())], log)
    return Collected(manifest, made.tally, batches, directory, files=files, kept=made.kept)


def _with_saved(files: BatchFiles, saved: SavedRows | None) -> BatchFiles:
    """A batch with the rows of its job that were not sent, if they are these."""
    is_of_it = saved is not None and Tags.of(files.batch).saved in (saved.name, None)
    return replace(files, saved=saved) if is_of_it else files


def _with_report(
    landing: Landing, made: Made, batches: list[Batch], files: dict[str, Sequence[Path]], workshop: Path, log: Log
) -> dict[str, Sequence[Path]]:
    """Add the page for people. No fault in it holds back answers that are paid."""
    if landing.report is None:
        return files
    rows = partial(report_rows, made.results, landing.form)
    names = [*files, REPORT_NAME, MANIFEST_NAME]
    facts = ReportFacts(made.manifest, made.tally, batches, plain_location(landing.output), names, rows)
    try:
        content = landing.report(facts)
    except Exception as error:
        log.warning("%s could not be made (%s). The result is landed without it.", REPORT_NAME, type(error).__name__)
        return files
    (path := workshop / REPORT_NAME).write_bytes(content)
    return {**files, REPORT_NAME: [path]}


def checked_output(landing: Landing) -> OutputDirectory:
    """Return the output directory; refuse one that cannot be landed in, and a format that cannot be written here.

    :raises KimiInputError: It is so, and a retry cannot help.
    """
    check_format(landing.form.output_format)
    _check_apart(landing)
    return OutputDirectory(landing.output)


def _earlier(held: Manifest | None, landing: Landing, works: Collection[str], log: Log) -> Manifest | None:
    """The result of these batches that the directory holds; warn of one of other batches that is replaced."""
    if held is None:
        return None
    task = None if landing.task is None else identity_of(landing.task)
    warning = check_replaced(landing.output, works, task, held, may_replace=landing.may_replace)
    if warning:
        log.warning("%s", warning)
    return None if warning else held


def _compared(landing: Landing, made: Made, held: Manifest | None) -> Made:
    """Say how far the labels are from those of an earlier result, if that is wanted."""
    if not landing.is_compared or made.tally.quality is None:
        return made
    manifest = with_drift(made.manifest, made.tally.quality.labels, held, landing.before)
    return replace(made, manifest=manifest)


def _check_no_worse(landing: Landing, new: Manifest, earlier: Manifest, results: Path) -> None:
    check_not_poorer(landing.output, new, earlier)
    if landing.input is not None and earlier.input_changes is UNSET:
        check_columns_kept(landing.output, earlier, results)


def _check_apart(landing: Landing, now: str = NOT_LANDED) -> None:
    """Refuse an output in which the input lies, or which the input would read as rows the next time."""
    if not (isinstance(landing.input, str) and isinstance(landing.output, str)):
        return
    try:
        found = overlap(location_of(landing.input), location_of(landing.output), landing.file_names)
    except ValueError:
        return  # the reading or the writing of it says why
    if found:
        raise KimiInputError(
            f"Output {landing.output!r} {found} ({landing.input[:200]!r}). {now} Choose a directory of its own for "
            "results, then clear this task: nothing is paid again."
        )


def _finished(switch: Switch, own: str, log: Log) -> Manifest | None:
    """The result that the directory holds; what an attempt that was killed has begun to put into place is finished.

    What it has left beside the result is removed, whether or not another one comes into its place.

    :param own: How the names of the task's landings begin.
    """
    switch.clear_left(own)
    earlier = Manifest.of_json(switch.seen)
    if earlier is None or not (staged := staged_files(earlier)):
        return earlier
    if gone := [name for name in staged if not switch.directory.version(name)]:
        log.warning("An earlier landing in %s was ended; its file %s is gone since.", switch.directory.uri, gone[0])
        return earlier
    log.info(
        "An earlier landing in %s was ended before all files had their names. It is finished.", switch.directory.uri
    )
    return _last(switch, switch.settled(earlier), log)


def _last(switch: Switch, steps: Iterator[Manifest | None], log: Log) -> Manifest:
    """Take all steps, and return what the last one yields."""
    *_, last = steps
    assert last is not None
    if names := ", ".join(switch.unremoved):
        log.warning(
            "Files that the result no longer needs could not be removed in %s: %s. The new result is whole; a later "
            "landing removes them.",
            *(switch.directory.uri, names),
        )
        switch.unremoved.clear()
    return last


def _kept(manifest: Manifest, batches: list[Batch], directory: OutputDirectory) -> Collected:
    whole = holds_all(manifest, batches)
    return Collected(manifest, Tally.of_manifest(manifest), batches, directory, is_kept=True, is_kept_whole=whole)


def _kept_merged(calls: Calls, landing: Landing, base: Earlier, directory: OutputDirectory) -> Collected:
    """Keep a result that these batches were merged into before, so that nothing of them counts twice."""
    batches = read_ended_batches(calls, landing.batch_ids)
    calls.log.info("The result in %s has these batches already. It is kept.", landing.output)
    return _kept(base.manifest, batches, directory)


def _reported(calls: Calls, landing: Landing, collected: Collected) -> Collected:
    """Say in the log what was landed."""
    tally, manifest = collected.tally, collected.manifest
    if tally.leaked:
        calls.log.warning("%s answers held the model's thoughts, which were removed.", tally.leaked)
    log = calls.log.warning if tally.unusable else calls.log.info
    log("Landed in %s: %s. %s.", landing.output, tally.summary(), billed(manifest))
    # A completed batch has a line for every row in the end, whatever its counts say meanwhile.
    is_growing = tally.counts["missing"] > 0 and any(may_come_late(calls, batch) for batch in collected.batches)
    rest = "" if landing.next_round else ask_the_rest(manifest)  # a task with rounds asks the rest itself
    if said := quality_said(manifest):
        calls.log.info("%s", said)
    notes = (collected.to_come, rest, changed_input(manifest), unknown_gold(manifest))
    if said := " ".join(filter(None, notes)):
        calls.log.warning("%s", said)
    return replace(collected, is_growing=is_growing)


def _clear_parts(directory: OutputDirectory, names: Sequence[str], log: Log) -> None:
    if left := without_parts(directory, names):
        log.warning(
            "Answers are in the result, and could not be removed beside it in %s: %s. A later landing removes them.",
            *(directory.uri, ", ".join(left)),
        )


def _check_kept(earlier: Manifest, landing: Landing) -> None:
    """Refuse to keep a result of another format than the one that is wanted."""
    results, wanted = earlier.results_file, landing.form.output_format
    if results and not results.endswith(f".{wanted}"):
        raise KimiInputError(
            f"The result in {landing.output} is {name_of(results)}, and cannot be landed again as {wanted}, because "
            "files of its batches are no longer on the platform. It is kept. Convert that file, or set output_format "
            "back."
        )


def _finished_files(workshop: Path, files: Sequence[BatchFiles], made: Made) -> dict[str, Sequence[Path]]:
    """The local files of every file of the result that has content."""
    before = made.before
    answered: list[BatchFiles | RealtimeFiles] = [*files, *made.realtime.of_shards.values()]
    wanted: dict[str, Sequence[Path | None]] = {
        OUTPUT_NAME: [before.output, *(each.output for each in answered)],
        ERROR_NAME: [before.error, *(each.error for each in answered)],
        made.results.name: [made.results],
        DEAD_LETTER_NAME: [workshop / DEAD_LETTER_NAME],
        REALTIME_NAME: [before.realtime, made.realtime.whole],
        SAVED_NAME: [before.saved, made.saved.path if made.saved else None],
    }
    held = {name: [path for path in paths if path and path.stat().st_size] for name, paths in wanted.items()}
    return {name: paths for name, paths in held.items() if paths}
