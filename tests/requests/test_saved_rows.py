"""What is sent and what is saved together are the input, in its order; and what was decided once stays decided."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.cache.store import AnswerCache
from airflow_provider_kimi.records.saved import SavedHeader, SavedRow, read_saved_line
from airflow_provider_kimi.requests.prepare import Prepared, prepare
from airflow_provider_kimi.requests.saving import Columns, Saving
from tests.support.logs import LogRecord
from tests.support.requests import TASK, order

BASE_URL = "http://127.0.0.1/v1"


class Any200:
    """Every answer can be used, but for one."""

    needs_columns = False

    def fits(self, answer: bytes) -> bool:
        return answer != b'"bad"'

    def passes(self, custom_id: str, answer: bytes, columns: Columns) -> bool:
        return True


class Kept:
    """Keeps what was decided in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def earlier(self, fingerprint: str, path: Path) -> bool:
        found = sorted(self.folder.iterdir())
        if found:
            path.write_bytes(found[0].read_bytes())
        return bool(found)

    def keep(self, fingerprint: str, name: str, path: Path, *, is_found: bool, is_fresh: bool) -> bool:
        (self.folder / name).write_bytes(path.read_bytes())
        return True

    def forget(self, name: str) -> None:
        (self.folder / name).unlink()


class Desk:
    """Prepares prompts with a cache in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = LogRecord()
        self.cache = AnswerCache(str(folder / "cache"))
        (folder / "kept").mkdir()
        cache = partial(AnswerCache, str(folder / "cache"))
        self.saving = Saving(True, cache, BASE_URL, Any200(), TASK, Kept(folder / "kept"))

    def prepare(self, source: object, **changes: Any) -> Prepared:
        with TemporaryDirectory(dir=self.folder) as workshop:
            wanted = order(source, saving=self.saving, on_invalid_row="skip", **changes)
            prepared = prepare(wanted, Path(workshop), self.log)
            self.sent = [json.loads(line) for shard in prepared.shards for line in shard.content.lines()]
            self.skipped = (prepared.skipped.read_bytes() if prepared.skipped else b"").splitlines()
        return prepared

    def answer(self, prompts: list[str], answer: bytes = b"{}") -> None:
        """Put an answer to each of these prompts into the cache."""
        workshop = self.folder / "answered"
        workshop.mkdir(exist_ok=True)
        prepared = prepare(order(prompts), workshop, self.log)
        with self.cache.writer(str(prompts)) as writer:
            for shard in prepared.shards:
                for line in shard.content.lines():
                    writer.add(self.saving.digest(line), answer)

    def saved(self, prepared: Prepared) -> list[SavedHeader | SavedRow | None]:
        assert prepared.saved is not None
        content = (self.folder / "kept" / prepared.saved.name).read_bytes()
        return [read_saved_line(line) for line in content.splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@given(
    prompts=st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), min_size=1, max_size=25).filter(any),
    answered=st.sets(st.sampled_from("abc")),
    most=st.one_of(st.none(), st.integers(1, 4)),
    pilot=st.one_of(st.none(), st.integers(1, 3)),
)
def test_what_is_sent_saved_and_left_out_is_the_input_in_its_order(
    prompts: list[str], answered: set[str], most: int | None, pilot: int | None
) -> None:
    with TemporaryDirectory() as name:
        desk = Desk(Path(name))
        if answered:
            desk.answer(sorted(answered))
        prepared = desk.prepare(prompts, max_rows_per_batch=most, pilot_rows=pilot)
        header, *rows = desk.saved(prepared)
    assert isinstance(header, SavedHeader)
    saved = [row for row in rows if isinstance(row, SavedRow)]
    assert (header.cache, header.duplicate) == (sum(not r.twin for r in saved), sum(bool(r.twin) for r in saved))
    skipped = [json.loads(line) for line in desk.skipped]
    unsent = [(r.shard, r.position, r.number) for r in saved]
    unsent += [(r.get("shard", 1), r.get("position", 0), r["number"]) for r in skipped]
    unsent.sort(key=lambda place: place[2])
    rebuilt: list[int] = []
    sent = iter([int(line["custom_id"].removeprefix("row-")) for line in desk.sent])
    sizes = [shard.content.rows for shard in prepared.shards] or [0]
    for shard, size in enumerate(sizes, 1):
        waiting = [(position, number) for of_shard, position, number in unsent if of_shard == shard]
        for position in range(size + 1):
            rebuilt += [number for at, number in waiting if at == position]
            rebuilt += [next(sent)] if position < size else []
    assert rebuilt == list(range(1, len(prompts) + 1))
    texts = [line["body"]["messages"][-1]["content"] for line in desk.sent]
    assert sorted(texts) == sorted({prompt for prompt in prompts if prompt} - answered), "each is sent once"
    assert {row.number for row in saved if row.twin is None} == {
        prompts.index(prompt) + 1 for prompt in answered if prompt in prompts
    }
    ids = {line["custom_id"] for line in desk.sent} | {row.custom_id for row in saved if row.twin is None}
    assert {row.twin for row in saved if row.twin} <= ids


def test_what_was_decided_counts_whatever_the_cache_holds_by_then(desk: Desk) -> None:
    desk.answer(["a"])
    first = desk.prepare(["a", "b", "c"])
    desk.answer(["b"])
    second = desk.prepare(["a", "b", "c"])
    assert first.fingerprint == second.fingerprint
    assert first.saved == second.saved
    assert len(desk.sent) == 2


def test_what_was_decided_is_placed_among_the_batches_that_are_made_now(desk: Desk) -> None:
    desk.answer(["c"])
    prompts = list("abcde")
    first = desk.prepare(prompts)
    desk.answer(["d"])
    second = desk.prepare(prompts, max_rows_per_batch=1)
    placed = [
        [(r.number, r.shard, r.position) for r in desk.saved(p) if isinstance(r, SavedRow)] for p in (first, second)
    ]
    assert placed == [[(3, 1, 2)], [(3, 3, 0)]]
    assert first.fingerprint != second.fingerprint


def test_a_job_without_a_saved_row_is_the_same_job_as_without_a_cache(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = prepare(order(["a", "b"]), tmp_path / "plain", desk.log)
    assert desk.prepare(["a", "b"]).fingerprint == plain.fingerprint
    desk.answer(["a"])
    assert desk.prepare(["a", "b", "a"]).fingerprint != plain.fingerprint


def test_without_dedupe_every_row_that_the_cache_answers_has_the_answer(desk: Desk) -> None:
    desk.saving = replace(desk.saving, dedupe=False)
    desk.answer(["a"])
    rows = desk.saved(desk.prepare(["a", "b", "a", "b"]))[1:]
    assert [row.number for row in rows if isinstance(row, SavedRow) and row.twin is None] == [1, 3]
    assert len(desk.sent) == 2


def test_an_answer_that_cannot_be_used_is_passed_over_for_an_older_one(desk: Desk) -> None:
    desk.answer(["a"])
    desk.answer(["a", "b"], b'"bad"')
    rows = desk.saved(desk.prepare(["a", "b"]))[1:]
    assert [bytes(row.answer) for row in rows if isinstance(row, SavedRow) and row.answer] == [b"{}"]
    assert len(desk.sent) == 1


def test_a_row_that_was_left_out_is_told_of_where_there_is_no_batch(desk: Desk) -> None:
    desk.answer(["a"])
    prepared = desk.prepare(["", "a", ""])
    assert prepared.shards == []
    assert prepared.saved is not None
    lines = (desk.folder / "kept" / prepared.saved.name).read_bytes().splitlines()
    assert [json.loads(line).get("number") for line in lines] == [None, 1, 2, 3]
    assert "reason" in json.loads(lines[1])


def test_a_dry_run_keeps_nothing(desk: Desk) -> None:
    desk.saving = replace(desk.saving, files=None)
    desk.answer(["a"])
    prepared = desk.prepare(["a", "b"])
    assert prepared.saved is not None
    assert prepared.saved.header.counts == {"cache": 1, "duplicate": 0}
    assert list((desk.folder / "kept").iterdir()) == []


def test_the_log_says_how_many_rows_are_sent(desk: Desk) -> None:
    desk.answer(["a", "b"])
    desk.prepare(["a", "b", "c", "c", "d"])
    assert desk.log.infos[-1] == "2 of 5 rows are answered by the cache, 1 repeat another row; 2 are sent."


def test_without_dedupe_the_log_does_not_say_that_no_row_repeats_another(desk: Desk) -> None:
    desk.saving = replace(desk.saving, dedupe=False)
    desk.prepare(["a", "a"])
    assert desk.log.infos[-1] == "0 of 2 rows are answered by the cache; 2 are sent."


def test_a_damaged_line_of_the_cache_is_passed_over_and_counted(desk: Desk) -> None:
    desk.answer(["a", "b"])
    (segment,) = (desk.folder / "cache").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"{}", b"[]", 1))
    desk.prepare(["a", "b"])
    assert len(desk.sent) == 1
    assert desk.log.warnings[-1] == "Lines of the cache that are not as they were written are passed over: 1."


def test_ready_requests_are_saved_whatever_the_order_of_their_keys(desk: Desk) -> None:
    desk.answer(["a"])
    desk.prepare(["b"])
    body = desk.sent[0]["body"]
    asked = body | {"messages": [{"content": "a", "role": "user"}]}
    ready = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": dict(reversed(asked.items()))}
    (desk.folder / "kept").rename(desk.folder / "of-another-input")
    (desk.folder / "kept").mkdir()
    rows = desk.saved(desk.prepare([ready, ready | {"custom_id": "y", "body": body}]))[1:]
    assert [line["custom_id"] for line in desk.sent] == ["y"]
    assert [json.loads(bytes(row.request)) for row in rows if isinstance(row, SavedRow)] == [ready]
