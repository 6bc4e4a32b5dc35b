"""Every record that outlives a process is read as earlier code wrote it, and as later code may write it.

`samples/` holds one stored record of each shape.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.records.claim_note import ClaimNote
from airflow_provider_kimi.records.dead_letters import Reason, is_unsent, request_of, table_row_of
from airflow_provider_kimi.records.events import BatchEnd, BatchEvent
from airflow_provider_kimi.records.job_note import JobNote
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.mark import Mark
from airflow_provider_kimi.records.pending import Pending
from airflow_provider_kimi.records.progress import Progress
from airflow_provider_kimi.records.reading import Reading
from airflow_provider_kimi.records.realtime import RealtimeLine, answer_line, read_line, refusal_line
from airflow_provider_kimi.records.recipe_note import RecipeNote, RowsNote
from airflow_provider_kimi.records.saved import SavedHeader, SavedRow, read_saved_line
from airflow_provider_kimi.records.skipped import SkippedRow
from airflow_provider_kimi.records.tags import Tags
from airflow_provider_kimi.records.watch import Watch

SAMPLES = Path(__file__).parent / "samples"


def tags(stored: dict[str, Any]) -> Tags:
    return Tags.of(Batch(id="batch_1", status="in_progress", metadata=stored))


def manifest(stored: dict[str, Any]) -> Manifest | None:
    return Manifest.of_json(json.dumps(stored).encode())


def reason(stored: dict[str, Any]) -> Reason:
    return msgspec.convert(stored["error"], Reason)


def claim_note(stored: dict[str, Any]) -> ClaimNote | None:
    return ClaimNote.of_json(json.dumps(stored))


def recipe_note(stored: dict[str, Any]) -> RecipeNote:
    return msgspec.convert(stored, RecipeNote)


def skipped_row(stored: dict[str, Any]) -> SkippedRow:
    return msgspec.convert(stored, SkippedRow)


def saved(stored: dict[str, Any]) -> SavedHeader | SavedRow | None:
    return read_saved_line(json.dumps(stored).encode())


def pending_of(stored: dict[str, Any]) -> Pending:
    read = Pending.from_dict(stored)
    assert read is not None
    return read


def realtime_line(stored: dict[str, Any]) -> RealtimeLine | None:
    return read_line(json.dumps(stored).encode())


#: What every version has written into every manifest.
ALWAYS_IN_MANIFESTS = {
    *("schema_version", "batch_ids", "status", "model", "counts", "usage", "cost", "rounds"),
    *("output_file", "error_file", "results_file", "dead_letter_file"),
    *("input_fingerprint", "prompt_fingerprint", "created_at", "completed_at"),
}

#: Sample -> what reads it, and the fields without which it is not such a record.
READERS: dict[str, tuple[Callable[[dict[str, Any]], Any], set[str]]] = {
    "tags": (tags, set()),
    "recipe_note": (recipe_note, set()),
    "job_note": (JobNote.of, {"job", "batches"}),
    "claim_note": (claim_note, {"dag_id", "run_id", "task_id"}),
    "manifest": (manifest, ALWAYS_IN_MANIFESTS),
    "skipped_row": (skipped_row, {"custom_id"}),
    "saved_header": (saved, {"task", "fingerprint"}),
    "saved_row": (saved, {"custom_id", "number", "request"}),
    "dead_letter": (reason, {"error"}),
    "trigger_arguments": (Watch.from_dict, {"batch_ids"}),
    "realtime_line": (realtime_line, {"custom_id", "response", "realtime"}),
    "event": (BatchEvent.from_dict, {"version", "outcome", "batches"}),
    "progress": (Progress.from_dict, set()),
    "mark": (Mark.from_dict, {"since"}),
    "pending": (pending_of, {"shards", "tags"}),
}


def samples_of(name: str) -> list[dict[str, Any]]:
    """The stored records of one shape."""
    (path,) = SAMPLES.glob(f"{name}.*")
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]


CASES = [
    pytest.param(name, stored, id=f"{name}-{at}") for name in READERS for at, stored in enumerate(samples_of(name))
]


def test_every_stored_sample_has_a_reader() -> None:
    assert {path.stem for path in SAMPLES.iterdir()} == set(READERS)


@pytest.mark.parametrize(("name", "stored"), CASES)
def test_a_stored_record_is_read(name: str, stored: dict[str, Any]) -> None:
    assert READERS[name][0](stored) is not None


@pytest.mark.parametrize(("name", "stored"), CASES)
def test_a_record_with_an_unknown_field_is_read(name: str, stored: dict[str, Any]) -> None:
    read, _ = READERS[name]
    assert read({**stored, "field_of_tomorrow": {"a": [1]}}) == read(stored)


@pytest.mark.parametrize(("name", "stored"), CASES)
def test_a_record_with_missing_fields_is_read(name: str, stored: dict[str, Any]) -> None:
    read, required = READERS[name]
    assert read({key: value for key, value in stored.items() if key in required}) is not None


def test_stored_tags_are_read_and_written_as_they_were() -> None:
    (stored,) = samples_of("tags")
    read = tags(stored)
    assert read.is_ours
    assert (read.dag_id, read.shard_number, read.shard_count) == ("reviews", 1, 1)
    note = RecipeNote(prompt="Classify {text}", key_column="id", requests_version=1)
    assert read.rows_note == RowsNote(note=note, shard=1)
    assert read.to_metadata({}) == stored


def test_a_stored_recipe_note_says_how_the_input_was_read() -> None:
    (stored,) = samples_of("recipe_note")
    read = recipe_note(stored)
    assert read.reading == Reading(delimiter=";", encoding="gb18030")
    assert json.loads(msgspec.json.encode(read)) == stored


def test_skipped_rows_are_written_as_the_same_bytes_again() -> None:
    line = (SAMPLES / "skipped_row.jsonl").read_bytes().rstrip()
    assert msgspec.json.encode(msgspec.json.decode(line, type=SkippedRow)) == line


def test_a_saved_file_is_written_as_the_same_bytes_again() -> None:
    header, rows = (SAMPLES / "saved_header.json").read_bytes(), (SAMPLES / "saved_row.jsonl").read_bytes()
    read = [read_saved_line(line) for line in (header + rows).splitlines()]
    assert [type(line) for line in read] == [SavedHeader, SavedRow, SavedRow]
    assert b"".join(msgspec.json.encode(line) + b"\n" for line in read) == header + rows


def test_a_saved_row_has_an_answer_or_a_twin() -> None:
    answered, repeated = map(saved, samples_of("saved_row"))
    assert isinstance(answered, SavedRow)
    assert isinstance(repeated, SavedRow)
    assert (answered.shard, answered.position, answered.twin) == (1, 0, None)
    assert (repeated.shard, repeated.position, repeated.twin) == (2, 3, "r4")
    assert answered.answer is not UNSET
    assert repeated.answer is UNSET
    assert repeated.row_digest == bytes(range(8))


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"{}", b"\xff", b'{"custom_id": "a"}', b"[" * 9999])
def test_a_line_that_is_not_of_a_saved_file_is_none(line: bytes) -> None:
    assert read_saved_line(line) is None


def test_a_dead_letter_is_the_request_with_its_row_and_its_reason() -> None:
    unsent, letter = samples_of("dead_letter")
    assert (is_unsent(unsent), is_unsent(letter)) == (True, False)
    assert table_row_of(letter) == {"id": "c", "text": "bad"}
    sent = json.loads(request_of(json.dumps(letter).encode()))
    assert sent.keys() == {"custom_id", "method", "url", "body"}


def test_lines_of_chat_calls_are_written_as_the_same_bytes_again() -> None:
    answer, refusal = samples_of("realtime_line")
    batch_id, error = answer["realtime"]["batch_id"], refusal["response"]["body"]["error"]
    written = answer_line("r1", batch_id, answer["response"]["body"]) + refusal_line("r4", batch_id, 400, error)
    assert written == (SAMPLES / "realtime_line.jsonl").read_bytes()
    assert [found.is_refusal for line in written.splitlines() if (found := read_line(line))] == [False, True]
    assert read_line(written.splitlines()[0][:-3]) is None


@pytest.mark.parametrize(
    "stored", samples_of("manifest"), ids=["without failures", "with failures", "with labels", "unsent"]
)
def test_a_stored_manifest_is_written_as_it_was(stored: dict[str, Any]) -> None:
    read = manifest(stored)
    assert read is not None
    assert json.dumps(read.to_dict()) == json.dumps(stored)


@pytest.mark.parametrize(
    "stored", [None, "x", [], {}, {"version": 2, "job": "k", "batches": {}}, {"job": "k"}], ids=repr
)
def test_a_job_note_that_this_version_cannot_read_is_none(stored: object) -> None:
    assert JobNote.of(stored) is None


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"{}", b'{"batch_ids": "a"}', b"\xff", b"[" * 9999])
def test_the_manifest_of_another_program_is_none(content: bytes) -> None:
    assert Manifest.of_json(content) is None


@pytest.mark.parametrize("lacking", sorted(ALWAYS_IN_MANIFESTS))
def test_a_manifest_without_a_field_that_is_always_written_is_of_another_program(lacking: str) -> None:
    stored, *_ = samples_of("manifest")
    assert manifest({name: value for name, value in stored.items() if name != lacking}) is None


@pytest.mark.parametrize(
    "edit", [{"batch_ids": [1, 2]}, {"batch_ids": {}}, {"batch_ids": []}, {"output_file": ["a"]}, {"results_file": 1}]
)
def test_a_manifest_whose_batches_or_files_are_none_is_of_another_program(edit: dict[str, Any]) -> None:
    stored, *_ = samples_of("manifest")
    assert manifest({**stored, **edit}) is None


def test_the_arguments_of_a_trigger_keep_their_meaning() -> None:
    stored, later = samples_of("trigger_arguments")
    watch = Watch.from_dict(stored)
    assert watch == Watch(
        ("batch_1", "batch_2"),
        pause_seconds=30.0,
        deadline=1757622800.0,
        on_timeout="cancel",
        stall_seconds=7200.0,
        on_stall="fail",
        kimi_conn_id="kimi_default",
        cancel_on_kill=True,
        try_number=2,
        logged_statuses=("in_progress", "validating"),
    )
    added = {"fewer_than": None, "look_at": None, "to_come": 0, "progress": True, "version": 1}
    assert json.loads(json.dumps(watch.to_dict())) == watch.to_dict() == {**stored, **added}
    assert Watch.from_dict(later).to_dict() == later
    assert Watch.from_dict(later).progress is False


def test_arguments_of_a_trigger_that_are_not_its_own_are_refused_in_words() -> None:
    with pytest.raises(
        KimiInputError, match=r"cannot read its arguments: .*`\$.on_timeout`.*The batches are not touched"
    ):
        Watch.from_dict({"batch_ids": ["batch_1"], "on_timeout": "pause"})


def test_an_event_keeps_its_meaning() -> None:
    stored, refused, polled = samples_of("event")
    event = BatchEvent.from_dict(stored)
    assert (event.outcome, event.message, event.try_number) == ("timed_out", stored["message"], 2)
    assert event.batches == {
        "batch_1": BatchEnd("completed", 3, 2, 1, "file_e"),
        "batch_2": BatchEnd("in_progress", 200, 128, 5),
    }
    assert event.to_dict() == {**stored, "retryable": False, "to_come": 0, "polled_at": None}
    assert BatchEvent.from_dict(polled).to_dict() == polled
    assert BatchEvent.from_dict(refused).retryable is True
    assert BatchEvent.from_dict(refused).to_dict() == {**refused, "to_come": 0, "polled_at": None}


def test_progress_keeps_its_meaning() -> None:
    stored, later = samples_of("progress")
    assert Progress.from_dict(stored).to_dict() == {**stored, "to_come": 0, "polled_at": None, "version": 1}
    assert Progress.from_dict(later).to_dict() == later


def test_what_is_still_to_be_created_keeps_its_meaning() -> None:
    (stored,) = samples_of("pending")
    pending = pending_of(stored)
    assert json.loads(json.dumps(pending.to_dict())) == stored
    first, second = pending.shards
    assert (first.file_id, first.rows, first.at, first.label) == ("file_b", 200, 1, "2/3")
    assert (second.label, second.is_unsure, second.refusals) == ("3/3 round 2", True, 1)
    assert (pending.has_turns, pending.turn_at, pending.idle_since) == (True, 1757004000.5, 1757003600.5)
    tags = pending.tags_of(first)
    assert (tags.job_key, tags.shard_number, tags.input_fingerprint) == ("9f2c", 2, "sha256:b")
    note = RecipeNote(prompt="Classify {text}", key_column="id", requests_version=1)
    assert tags.rows_note == RowsNote(note=note, shard=2)
    assert pending.tags_of(second).rows_note is None


@pytest.mark.parametrize("edit", [{"version": 2}, {"shards": [1]}, {"tags": None}], ids=repr)
def test_what_is_still_to_be_created_is_refused_where_it_cannot_be_read(edit: dict[str, Any]) -> None:
    (stored,) = samples_of("pending")
    with pytest.raises(KimiBatchError, match=r"cannot read \(version .*\). Nothing more was created; .* then clear"):
        Pending.from_dict({**stored, **edit})


def test_a_mark_keeps_its_meaning() -> None:
    (stored,) = samples_of("mark")
    mark = Mark.from_dict(stored)
    assert mark == Mark(1757003360.0, frozenset({"batch_2"}), {"batch_1": 1757003600})
    assert mark.to_dict() == {**stored, "version": 1}


@pytest.mark.parametrize(
    "edit",
    [
        {"status": "reviewed"},
        {"counts": None},
        {"counts": {"total": 2.5}},
        {"usage": {"prompt_tokens": None}},
        {"cost": "3 CNY"},
        {"model": ["kimi-k2.6"]},
        {"created_at": 1},
        {"schema_version": "2"},
        {"failures": [{"reason": "check"}]},
        {"note": "checked by hand"},
    ],
    ids=str,
)
def test_a_manifest_that_somebody_has_edited_is_still_the_result_of_its_batches(edit: dict[str, Any]) -> None:
    stored, *_ = samples_of("manifest")
    read = manifest({**stored, **edit})
    assert read is not None
    assert (read.batch_ids, read.results_file) == (stored["batch_ids"], stored["results_file"])


@pytest.mark.parametrize("value", [None, "gs://bucket/xcom/1.json", 3, [], {}, ["batch_1"], {"batch_ids": ["batch_1"]}])
def test_what_another_xcom_holds_is_no_manifest(value: Any) -> None:
    assert Manifest.of_value(value) is None


@pytest.mark.parametrize(
    "stored", samples_of("manifest"), ids=["without failures", "with failures", "with labels", "unsent"]
)
def test_a_manifest_is_read_from_an_xcom_as_from_its_file(stored: dict[str, Any]) -> None:
    assert Manifest.of_value(stored) == manifest(stored) is not None
