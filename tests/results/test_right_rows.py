"""Random tables, random edits while the batch runs, random answer files: every label is on the row that it is of."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch, RequestCounts
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import new_file
from airflow_provider_kimi.records.recipe_note import RecipeNote, RowsNote
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.requests.prepare import Prepared, prepare
from airflow_provider_kimi.requests.row_notes import write_notes
from airflow_provider_kimi.requests.shards import Shard
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.batch_files import BatchFiles
from airflow_provider_kimi.results.recipe_notes import NotesOfJob, notes_of_file
from airflow_provider_kimi.results.reconcile import Sinks, write_rows
from airflow_provider_kimi.results.result_lines import ResultLines
from airflow_provider_kimi.results.table import opened_table
from airflow_provider_kimi.results.tally import Tally
from tests.support.logs import LogRecord
from tests.support.requests import order
from tests.support.samples import answer_body, output_line

Table = list[dict[str, Any]]

WAYS: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "On {text}"},
    "number": {"prompt": "On {text} at {price}"},
    "messages": {"messages": [{"role": "user", "content": "On {text}"}]},
    "function": {"messages": lambda row: f"On {row['text']}"},
}

TEXTS = st.sampled_from(["good", "bad", "goodbye", "good\u2028", "On", "很好", "a" * 70, "{text}", " "])


@dataclass
class Edits:
    """What somebody does to a table while its batch runs."""

    random: Random
    uids: Iterator[int]

    def done(self, table: Table, times: int) -> Table:
        for _ in range(times):
            at = self.random.randrange(len(table) + 1)
            kind = self.random.choice(("edit", "price", "delete", "insert", "shuffle", "duplicate"))
            if kind == "shuffle":
                self.random.shuffle(table)
            elif kind == "insert":
                table.insert(at, {"uid": next(self.uids), "text": self.random.choice(["good", "new"]), "price": 3})
            elif at == len(table):
                continue
            elif kind == "delete":
                del table[at]
            elif kind == "duplicate":
                table.insert(at, {**table[at], "uid": next(self.uids)})
            else:
                changed = {"text": self.random.choice(["good", "better", "", "On"])} if kind == "edit" else {"price": 9}
                table[at] = {**table[at], **changed}
        return table


def asked_about(line: bytes) -> str:
    """What the answers of this test repeat: the text that was sent."""
    content: str = json.loads(line)["body"]["messages"][-1]["content"]
    return content


def answered(shard: Shard, shards: int, folder: Path, random: Random) -> BatchFiles:
    """A batch that has answered a shard somehow: rows lack, come twice, failed or broken, in any order.

    It may have answered a request that it was not asked.
    """
    lines: list[bytes] = []
    for line in shard.content.lines():
        custom_id = json.loads(line)["custom_id"]
        answer = output_line(custom_id, body=answer_body(asked_about(line)))
        lines += random.choice(
            [[answer]] * 5
            + [[], [answer, answer], [output_line(custom_id, response=None, error={"code": "c"})], [answer[:40]]]
        )
    if random.random() < 0.3:
        lines.append(output_line("nobody's", body=answer_body("x")))
    random.shuffle(lines)
    folder.mkdir()
    (folder / "requests").write_bytes(b"".join(line + b"\n" for line in shard.content.lines()))
    (folder / "output").write_bytes(b"\n".join(lines) + b"\n")
    counts = RequestCounts(total=shard.content.rows, completed=len(lines))
    tags = Tags(job_key="job", shard=f"{shard.number}/{shards}")
    batch = Batch(id=f"batch_{shard.number}", status="completed", request_counts=counts, metadata=tags.to_metadata({}))
    return BatchFiles(batch, folder / "requests", folder / "output", None, None, len(lines), True)


def landed(prepared: Prepared, now: Table, folder: Path, random: Random) -> tuple[list[dict[str, Any]], Tally]:
    batches = [
        answered(shard, len(prepared.shards), folder / f"batch-{shard.number}", random) for shard in prepared.shards
    ]
    batches = [BatchFiles(**{**vars(batch), "skipped": prepared.skipped}) for batch in batches]
    write_notes(prepared.notes, folder / "notes")
    notes: dict[str | None, NotesOfJob] = {"job": notes_of_file(folder / "notes")}
    check = AnswerCheck()
    with (
        opened_table(batches, iter(now), notes, None, folder / "input") as table,
        new_file(folder / "results") as results,
        new_file(folder / "letters") as letters,
    ):
        sinks = Sinks(results, letters)
        tally = write_rows([[batch] for batch in batches], table, check, ResultLines(check.fields), sinks, LogRecord())
    return [json.loads(line) for line in (folder / "results").read_bytes().split(b"\n")[:-1]], tally


def asked_now(way: str, row: dict[str, Any]) -> str:
    return f"On {row['text']} at {row['price']}" if way == "number" else f"On {row['text']}"


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=12),
    way=st.sampled_from(list(WAYS)),
    key_column=st.sampled_from([None, "uid"]),
    edits=st.integers(0, 5),
    most=st.sampled_from([None, 1, 3]),
    random=st.randoms(use_true_random=False),
)
def test_every_label_is_on_the_row_that_it_is_of(
    texts: list[str], way: str, key_column: str | None, edits: int, most: int | None, random: Random
) -> None:
    uids = count(1)
    table: Table = [{"uid": next(uids), "text": text, "price": 1.5} for text in texts]
    wanted = order(lambda: table, key_column=key_column, on_invalid_row="skip", max_rows_per_batch=most, **WAYS[way])
    with TemporaryDirectory() as folder:
        try:
            prepared = prepare(wanted, Path(folder), LogRecord())
        except KimiInputError:  # no row can be sent
            return
        now = Edits(random, uids).done([dict(row) for row in table], edits)
        rows, tally = landed(prepared, now, Path(folder), random)
    strangers = [row for row in rows if row["custom_id"] == "nobody's"]
    assert all("text" not in row and row["input_change"] == "not_compared" for row in strangers)
    asked = [row for row in rows if row["input_change"] != "added" and row not in strangers]
    assert_counted(rows, tally, asked, len(table))
    for row in rows:
        if row["status"] == "succeeded" and "text" in row:
            assert row["content"] == asked_now(way, row)
    shown = [row["uid"] for row in rows if "text" in row]
    changed = sum(row["input_change"] == "changed" and "text" not in row for row in rows)
    assert len(set(shown)) == len(shown), "no row of the table twice"
    assert strangers or len(shown) + changed == len(now), "every row of the table once"
    assert not strangers or "added" not in {row["input_change"] for row in rows}
    if not edits:
        assert {row["input_change"] for row in rows} <= {
            None,
            "not_compared" if way == "function" or strangers else None,
        }


def assert_counted(rows: Sequence[dict[str, Any]], tally: Tally, asked: Sequence[dict[str, Any]], sent: int) -> None:
    assert Counter(row["status"] for row in rows) == +tally.counts
    assert Counter(row["input_change"] for row in rows if row["input_change"]) == +(tally.input_changes or Counter())
    assert (len(rows), len(asked)) == (tally.total, sent)


def test_a_note_that_was_stored_is_read_as_it_was() -> None:
    note = RecipeNote(prompt="很好 {text}", key_column=["a", "b"], requests_version=1)
    part = RowsNote(note=note, shard=2, digests=bytes(range(16)))
    assert RowsNote.of_packed(part.packed()) == part
    assert RowsNote.of_packed("no note") is None
