"""Random tables with repeated rows, random caches, halves, rounds and edits: every answer is on its own row."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.cache.digests import request_digest
from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.records.rows import BATCH_FIELDS, SOURCE_FIELD
from airflow_provider_kimi.records.shard_names import Part
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.prepare import Prepared, prepare
from airflow_provider_kimi.requests.row_notes import write_notes
from airflow_provider_kimi.requests.saving import Saving
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.making import unsent_batch
from airflow_provider_kimi.results.output_directory import OutputDirectory
from airflow_provider_kimi.results.passed_columns import Selection
from airflow_provider_kimi.results.recipe_notes import NotesOfJob, notes_of_file
from airflow_provider_kimi.results.reconcile import Sinks, write_rows
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.saved_files import SavedFilesBeside
from airflow_provider_kimi.results.saved_rows import SavedRows, fetch_saved
from airflow_provider_kimi.results.table import opened_table
from airflow_provider_kimi.results.tally import Tally
from airflow_provider_kimi.results.usable_answers import Usable
from tests.results.test_right_rows import TEXTS, WAYS, Edits, Table, asked_about, asked_now
from tests.support.logs import LogRecord
from tests.support.requests import TASK, order
from tests.support.samples import answer_body, output_line

BASE_URL = "https://kimi.test/v1"
CHECK = AnswerCheck()
FIELDS = (*CHECK.fields[: -len(BATCH_FIELDS)], SOURCE_FIELD, *BATCH_FIELDS)


@dataclass
class Platform:
    """Batches that answer somehow: rows lack, fail or come broken, and some of them are asked again."""

    folder: Path
    random: Random
    saved: SavedRows | None

    def shards(self, prepared: Prepared) -> list[list[BatchFiles]]:
        if not prepared.shards:
            return [[unsent_batch(self.saved, self.folder)]]
        shards = []
        for shard in prepared.shards:
            lines, total = list(shard.content.lines()), shard.content.rows
            name = f"{shard.number}/{len(prepared.shards)}"
            parts = Part(0, total, total).halves if total > 1 and self.random.random() < 0.4 else ()
            for part in parts:
                of_part = f"{name} rows {part.start + 1}-{part.stop} of {total}"
                shards.append(self._rounds(lines[part.start : part.stop], of_part))
            if not parts:
                shards.append(self._rounds(lines, name))
        return shards

    def _rounds(self, lines: Sequence[bytes], name: str) -> list[BatchFiles]:
        first = self._batch(lines, name, None)
        again = [line for line in lines if self.random.random() < 0.3]
        return [first, self._batch(again, name, "2")] if again else [first]

    def _batch(self, asked: Sequence[bytes], name: str, number: str | None) -> BatchFiles:
        lines: list[bytes] = []
        for line in asked:
            custom_id = json.loads(line)["custom_id"]
            answer = output_line(custom_id, body=answer_body(asked_about(line)))
            error = output_line(custom_id, response=None, error={"code": "c"})
            lines += self.random.choice([[answer]] * 5 + [[], [answer, answer], [error], [answer[:40]]])
        self.random.shuffle(lines)
        tags = Tags(job_key="job", shard=name, round=number, saved=self.saved.name if self.saved else None)
        folder = self.folder / f"{name} {number}".replace("/", "of")
        folder.mkdir()
        (folder / "requests").write_bytes(b"".join(line + b"\n" for line in asked))
        (folder / "output").write_bytes(b"\n".join(lines) + b"\n")
        counts = RequestCounts(total=len(asked), completed=len(lines))
        batch = Batch(id=folder.name, status="completed", request_counts=counts, metadata=tags.to_metadata({}))
        return BatchFiles(batch, folder / "requests", folder / "output", None, None, len(lines), True, saved=self.saved)


def keep_some(cache: AnswerCache, wanted: Any, folder: Path, random: Random) -> None:
    """Keep answers to some of the requests of an order."""
    folder.mkdir()
    with cache.writer("earlier") as writer:
        for shard in prepare(wanted, folder, LogRecord()).shards:
            for line in filter(lambda _: random.random() < 0.4, shard.content.lines()):
                answer = json.loads(output_line(body=answer_body(asked_about(line))))["response"]
                body = json.dumps(json.loads(line)["body"]).encode()
                writer.add(request_digest(body, base_url=BASE_URL), json.dumps(answer).encode())


def prepared_of(wanted: Any, folder: Path, random: Random, *, dedupe: bool) -> tuple[Prepared, SavedRows | None]:
    cache = AnswerCache(f"{folder}/cache")
    keep_some(cache, wanted, folder / "before", random)
    files = SavedFilesBeside(f"{folder}/out", TASK)
    saving = Saving(dedupe, partial(AnswerCache, f"{folder}/cache"), BASE_URL, Usable(CHECK, Selection()), TASK, files)
    (folder / "now").mkdir()
    prepared = prepare(replace(wanted, saving=saving), folder / "now", LogRecord())
    assert prepared.saved is not None
    return prepared, fetch_saved(OutputDirectory(f"{folder}/out"), prepared.saved.name, folder / "saved")


def landed(
    prepared: Prepared, saved: SavedRows | None, now: Table, folder: Path, random: Random
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Tally]:
    shards = Platform(folder, random, saved).shards(prepared)
    if prepared.shards:  # else no batch tells of the rows that were left out
        shards = [[replace(batch, skipped=prepared.skipped) for batch in shard] for shard in shards]
    write_notes(prepared.notes, folder / "notes")
    found = notes_of_file(folder / "notes") if prepared.shards else NotesOfJob(saved.header.note if saved else None)
    notes: dict[str | None, NotesOfJob] = {"job" if prepared.shards else None: found}
    with (
        opened_table([shard[0] for shard in shards], iter(now), notes, None, folder / "input") as table,
        new_file(folder / "results") as results,
        new_file(folder / "letters") as letters,
    ):
        sinks = Sinks(results, letters)
        tally = write_rows(shards, table, CHECK, ResultLines(FIELDS), sinks, LogRecord(), saved=saved)
    read = [(folder / name).read_bytes().splitlines() for name in ("results", "letters")]
    return [json.loads(line) for line in read[0]], [json.loads(line) for line in read[1]], tally


@pytest.mark.timeout(120)
@given(
    texts=st.lists(TEXTS | st.sampled_from(["good", "bad", ""]), min_size=1, max_size=14),
    way=st.sampled_from(list(WAYS)),
    key_column=st.sampled_from([None, "uid"]),
    edits=st.integers(0, 4),
    most=st.sampled_from([None, 1, 3]),
    dedupe=st.booleans(),
    random=st.randoms(use_true_random=False),
)
def test_every_answer_is_on_the_row_that_asked_for_it_whether_it_was_sent_or_not(
    texts: list[str], way: str, key_column: str | None, edits: int, most: int | None, dedupe: bool, random: Random
) -> None:
    uids = count(1)
    table: Table = [{"uid": next(uids), "text": text or None, "price": 1.5} for text in texts]
    wanted = order(lambda: table, key_column=key_column, on_invalid_row="skip", max_rows_per_batch=most, **WAYS[way])
    with TemporaryDirectory() as name:
        folder = Path(name)
        try:
            prepared, saved = prepared_of(wanted, folder, random, dedupe=dedupe)
        except KimiInputError:  # no row can be sent
            return
        now = Edits(random, uids).done([dict(row) for row in table], edits)
        rows, letters, tally = landed(prepared, saved, now, folder, random)
    asked = [row for row in rows if row["input_change"] != "added"]
    assert (len(asked), len(rows)) == (len(table), tally.total)
    assert Counter(row["status"] for row in rows) == +tally.counts
    for row, was in zip(asked, table, strict=True):
        if key_column:
            assert row["custom_id"] == str(was["uid"])
        if row["status"] == "succeeded":
            assert row["content"] == asked_now(way, was)
            assert "text" not in row or row["content"] == asked_now(way, row)
        assert row["source"] is None or (row["prompt_tokens"] is None) >= (row["source"] in ("cache", "duplicate"))
    shown = [row["uid"] for row in rows if "text" in row]
    changed = sum(row["input_change"] == "changed" and "text" not in row for row in rows)
    assert len(set(shown)) == len(shown), "no row of the table twice"
    assert len(shown) + changed == len(now), "every row of the table once"
    if not edits:
        assert {row["input_change"] for row in rows} <= {None}
    assert [letter["custom_id"] for letter in letters] == [
        row["custom_id"] for row in asked if row["status"] != "succeeded"
    ]
    assert_fanned_out(asked, table, way, dedupe=dedupe)
    assert tally.saved == Counter(row["source"] for row in rows if row["source"] in ("cache", "duplicate"))


def assert_fanned_out(asked: list[dict[str, Any]], table: Table, way: str, *, dedupe: bool) -> None:
    """With dedupe, rows that ask the same have one outcome, and only the first of them another source."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for row, was in zip(asked, table, strict=True):
        if row["source"] is not None:
            alike.setdefault(asked_now(way, was), []).append(row)
    for rows in alike.values():
        assert dedupe or "duplicate" not in {row["source"] for row in rows}
        if dedupe:
            assert [row["source"] for row in rows[1:]] == ["duplicate"] * len(rows[1:])
            assert len({(row["status"], row["content"], row["error_code"], row["batch_id"]) for row in rows}) == 1
