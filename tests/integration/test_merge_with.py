"""Answers to dead letters are merged into the result that they are from: each row once, nothing paid is lost."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from airflow_provider_kimi.simulator.lifecycle import BatchRecord
from airflow_provider_kimi.submission.identity import Attempt
from tests.conftest import Connect
from tests.support.landing import Landed, land
from tests.support.logs import LogRecord
from tests.support.requests import TASK, order, request, submit, write_jsonl
from tests.support.rounds import BROKEN, QUICK, YES, Model, failing, reviews
from tests.support.tasks import run_task

CUT = Answer("posi", finish_reason="length")


class Platform:
    """A platform whose rows fail as often as is said, and what is landed of it."""

    def __init__(self, sim: KimiSimulator, hook: KimiHook, folder: Path) -> None:
        self.sim = sim
        self.hook = hook
        self.folder = folder
        self.on_created: Callable[[BatchRecord], None] = lambda batch: None

    def ask(self, source: Any, **wanted: Any) -> list[str]:
        """Ask rows or dead letters, each time in a task of its own, and bring the batches to their end."""
        attempt = Attempt(replace(TASK, task_id=f"create_{len(self.sim.batches)}"))
        ids = submit(self.hook, order(source, reuse="never", **wanted), attempt, LogRecord(), self.sim.advance)
        for batch_id in ids.batch_ids:
            self.on_created(self.sim.batches[batch_id])
        self.sim.advance(100_000)
        self.sim.file_ids("batch")  # the model answers when somebody looks
        return ids.batch_ids

    def first(self, rows: int = 10, name: str = "a", **changes: Any) -> Landed:
        """Ask a table, and land it with its columns."""
        table = reviews(self.folder, rows)
        ids = self.ask(table, prompt="Positive? {text}", key_column="id")
        return land(self.hook, self.folder / name, ids, input=table, key_column="id", **changes)

    def again(self, landed: Landed) -> list[str]:
        """Give the dead letters back."""
        return self.ask(str(landed.folder / "dead_letter.jsonl"))

    def merge(self, landed: Landed, ids: list[str], name: str = "b", **changes: Any) -> Landed:
        """Land batches into an earlier result."""
        return land(self.hook, self.folder / name, ids, merge_with=str(landed.folder), **changes)


class Stage:
    """Opens platforms."""

    def __init__(self, connect: Connect, folder: Path) -> None:
        self._connect = connect
        self._folder = folder

    def __call__(self, sim: KimiSimulator) -> Platform:
        return Platform(sim, self._connect(sim), self._folder)


@pytest.fixture
def on(connect: Connect, tmp_path: Path) -> Stage:
    return Stage(connect, tmp_path)


def platform_of(say: Any) -> KimiSimulator:
    return KimiSimulator(speed=0, timing=QUICK, responder=Model(say))


def ids_of(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    return [line["custom_id"] for line in lines]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_that_were_asked_again_stand_in_their_places_and_all_sums_add_up(on: Stage) -> None:
    with platform_of(failing(2, 5, always=[7])) as sim:
        platform = on(sim)
        first = platform.first()
        before = files_of(first.folder)
        ids = platform.again(first)
        merged = platform.merge(first, ids)
        second = land(platform.hook, platform.folder / "alone", ids)
    assert ids_of(merged.rows()) == [f"r{n}" for n in range(10)]
    assert [row["text"] for row in merged.rows()] == [f"review {n}" for n in range(10)]
    assert {key: row["round"] for key, row in merged.by_id.items() if row["round"] == 2} == {"r2": 2, "r5": 2, "r7": 2}
    assert merged.by_id["r2"]["batch_id"] == ids[0]
    kept = [line for line in before["results.jsonl"].splitlines() if json.loads(line)["status"] == "succeeded"]
    assert [line for line in files_of(merged.folder)["results.jsonl"].splitlines() if line in kept] == kept
    one, other, both = first.manifest, second.manifest, merged.manifest
    assert both["batch_ids"] == one["batch_ids"] + ids
    assert (both["counts"]["total"], both["counts"]["succeeded"], both["counts"]["failed"]) == (10, 9, 1)
    assert both["usage"] == {name: one["usage"][name] + other["usage"][name] for name in one["usage"]}
    assert both["cost"]["amount"] == pytest.approx(one["cost"]["amount"] + other["cost"]["amount"])
    assert (both["status"], both["rounds"], both["merged"]) == ("partial", 2, {"taken": 3})
    assert both["by_round"] == [{"requests": 10, "succeeded": 7}, {"requests": 3, "succeeded": 2}]
    assert both["answers"] == {"whole": 9, "cut": 0}
    assert (both["input_fingerprint"], both["created_at"]) == (one["input_fingerprint"], one["created_at"])
    assert [*map(len, map(merged.rows, ("output.jsonl", "error.jsonl")))] == [9, 4]
    (letter,) = merged.rows("dead_letter.jsonl")
    assert (letter["custom_id"], letter["row"]) == ("r7", {"id": "r7", "text": "review 7"})
    assert files_of(first.folder) == before


def test_a_merge_over_a_merge_goes_on_until_no_dead_letter_is_left(on: Stage) -> None:
    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        return BROKEN if times <= int(custom_id[1:]) else YES

    with platform_of(say) as sim:
        platform = on(sim)
        landed = platform.first(4)
        for name in "bcd":
            landed = platform.merge(landed, platform.again(landed), name)
    assert landed.manifest["status"] == "completed"
    assert landed.manifest["dead_letter_file"] is None
    assert [row["round"] for row in landed.rows()] == [1, 2, 3, 4]
    assert [round["requests"] for round in landed.manifest["by_round"]] == [4, 3, 2, 1]
    assert len(landed.manifest["batch_ids"]) == 4


def test_the_earlier_result_itself_may_be_replaced_and_a_retry_counts_nothing_twice(on: Stage) -> None:
    with platform_of(failing(1, always=[3])) as sim:
        platform = on(sim)
        first = platform.first()
        ids = platform.again(first)
        apart = platform.merge(first, ids)
        merged = platform.merge(first, ids, "a")
        after = files_of(first.folder)
        again = platform.merge(merged, ids, "a")
        with pytest.raises(KimiInputError, match="holds the result of these batches and of others"):
            land(platform.hook, first.folder, first.manifest["batch_ids"])
        twice = platform.merge(merged, [*first.manifest["batch_ids"], *ids], "a")
    assert after["results.jsonl"] == files_of(apart.folder)["results.jsonl"]
    assert {*after} == {*files_of(apart.folder)}
    assert files_of(first.folder) == after
    assert again.manifest == twice.manifest == merged.manifest
    assert again.collected.is_kept


def test_a_retry_into_another_output_lands_the_same_again(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first()
        ids = platform.again(first)
        merged = platform.merge(first, ids)
        files = files_of(merged.folder)
        assert platform.merge(first, ids).manifest == merged.manifest
        assert files_of(merged.folder) == files


def test_the_first_batches_may_be_given_again_beside_the_new_ones(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first()
        ids = platform.again(first)
        merged = platform.merge(first, [*first.manifest["batch_ids"], *ids])
    assert merged.manifest["batch_ids"] == [*first.manifest["batch_ids"], *ids]
    assert merged.manifest["counts"]["succeeded"] == 10


def test_it_needs_only_the_landed_files_of_the_earlier_result(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first()
        for file in platform.hook.list_files():
            platform.hook.delete_file(file.id)
        merged = platform.merge(first, platform.again(first))
    assert merged.statuses == {"succeeded": 10}


def test_an_outcome_that_is_worth_less_takes_the_place_of_none(on: Stage) -> None:
    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        says: dict[str, tuple[Answer | RowError, Answer | RowError]]
        says = {"r0": (YES, YES), "r1": (CUT, BROKEN), "r2": (BROKEN, CUT)}
        first, then = says[custom_id]
        return first if times == 1 else then

    with platform_of(say) as sim:
        platform = on(sim)
        first = platform.first(3)
        merged = platform.merge(first, platform.again(first))
    assert [row["status"] for row in merged.rows()] == ["succeeded", "truncated", "truncated"]
    assert [row["round"] for row in merged.rows()] == [1, 1, 2]
    assert merged.manifest["merged"] == {"taken": 1, "not_better": 1}
    assert merged.manifest["answers"] == {"whole": 1, "cut": 2}
    assert [letter["error"]["status"] for letter in merged.rows("dead_letter.jsonl")] == ["truncated", "truncated"]


def test_an_answer_to_a_request_that_was_edited_to_ask_something_else_stands_on_no_row(on: Stage) -> None:
    with platform_of(failing(1, 2)) as sim:
        platform = on(sim)
        first = platform.first(3)
        one, other = first.rows("dead_letter.jsonl")
        one["body"]["messages"][0]["content"] = "Positive? another review"
        other["body"]["max_completion_tokens"] = 9_000
        edited = write_jsonl(platform.folder / "edited.jsonl", [one, other])
        merged = platform.merge(first, platform.ask(edited))
    assert [row["status"] for row in merged.rows()] == ["succeeded", "failed", "succeeded"]
    assert merged.manifest["merged"] == {"asks_other": 1, "taken": 1}
    assert any("ask something else" in line for line in merged.log.warnings)
    assert merged.rows("dead_letter.jsonl") == first.rows("dead_letter.jsonl")[:1]
    assert len(merged.rows("output.jsonl")) == 3, "its answer is paid, and kept"


def test_rows_that_the_earlier_result_does_not_have_stand_behind_it_and_are_reported(on: Stage) -> None:
    with platform_of(failing(1, always=[99])) as sim:
        platform = on(sim)
        first = platform.first(3)
        letters = first.rows("dead_letter.jsonl")
        more = write_jsonl(platform.folder / "more.jsonl", [*letters, request("r98"), request("r99")])
        merged = platform.merge(first, platform.ask(more))
    assert ids_of(merged.rows()) == ["r0", "r1", "r2", "r98", "r99"]
    assert merged.manifest["merged"] == {"taken": 1, "added": 2}
    assert merged.manifest["counts"]["total"] == sum(merged.statuses.values()) == 5
    assert any("2 are not there" in line for line in merged.log.warnings)
    assert ids_of(merged.rows("dead_letter.jsonl")) == ["r99"]


def test_rows_of_a_schema_and_a_check_are_judged_with_the_columns_of_the_earlier_result(on: Stage) -> None:
    seen: list[Any] = []

    def check(row: Mapping[str, Any]) -> str | None:
        seen.append(row["text"])
        return "no" if row["text"] == "review 2" else None

    wanted = AnswerCheck(read_schema(["positive", "negative"]), check=check)
    with platform_of(failing(1, 2)) as sim:
        platform = on(sim)
        first = platform.first(3, check=wanted)
        seen.clear()
        merged = platform.merge(first, platform.again(first), check=wanted)
    assert seen == ["review 1", "review 2"]
    assert [row["parsed"] for row in merged.rows()] == ["positive", "positive", "positive"]
    assert [row["status"] for row in merged.rows()] == ["succeeded", "succeeded", "invalid"]
    assert merged.manifest["answers"] == {"whole": 3, "cut": 0}
    (letter,) = merged.rows("dead_letter.jsonl")
    assert letter["error"] == {"status": "invalid", "code": "check", "message": "no"}


@pytest.mark.parametrize("given", ["directory", "manifest.json", "manifest", "text of the manifest"])
def test_the_operator_takes_a_uri_or_the_manifest(on: Stage, given: str) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        uri = f"file://{first.folder}/"
        meant: dict[str, Any] = {"directory": uri, "manifest.json": f"{uri}manifest.json", "manifest": first.manifest}
        task = KimiBatchResultsOperator(
            task_id="results",
            batch_id=ids,
            output=f"{platform.folder}/b",
            merge_with=meant.get(given, "{{ manifest }}"),
        )
        manifest = run_task(task, manifest=first.manifest).value
    assert manifest["counts"]["succeeded"] == 3


def refusals(on: Platform, first: Landed) -> dict[str, tuple[dict[str, Any], str]]:
    """What is wrong, as changes of a landing, and what the error says."""
    other = on.folder / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"version": 2}')
    later = on.folder / "later"
    later.mkdir()
    (later / "manifest.json").write_text(json.dumps({**first.manifest, "schema_version": 2}))
    stale = {**first.manifest, "batch_ids": ["batch_x"]}
    schema = AnswerCheck(read_schema(["positive", "negative"]))
    return {
        "nothing": ({"merge_with": str(on.folder / "nowhere")}, "holds no result"),
        "foreign": ({"merge_with": str(other)}, "holds a manifest.json of something else"),
        "later": ({"merge_with": str(later)}, "schema_version 2"),
        "blank": ({"merge_with": " "}, "it must be the URI of a directory"),
        "stale": ({"merge_with": stale}, "the result there is of other batches"),
        "columns": ({"check": schema}, "only one of both has parsed"),
    }


def test_what_cannot_be_merged_is_refused_before_anything_is_changed(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        before = files_of(first.folder)
        for name, (changes, message) in refusals(platform, first).items():
            with pytest.raises(KimiInputError, match=message) as caught:
                land(platform.hook, first.folder, ids, **{"merge_with": str(first.folder), **changes})
            assert "Nothing was changed or landed" in str(caught.value), name
            assert files_of(first.folder) == before, name
    assert not (platform.folder / "nowhere").exists()


def test_batches_of_other_rows_are_refused_even_if_their_rows_have_the_same_names(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.ask(write_jsonl(platform.folder / "other.jsonl", [request("r1"), request("r2")]))
        with pytest.raises(
            KimiInputError,
            match="1 ask something else than their dead letter, as far as is known, 1 have a usable answer there",
        ):
            platform.merge(first, ids)


def test_batches_that_are_in_the_earlier_result_already_are_not_counted_again_elsewhere(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        with pytest.raises(KimiInputError, match="already has these batches"):
            platform.merge(first, first.manifest["batch_ids"])


def test_two_batches_of_the_same_dead_letters_are_merged_one_after_the_other(on: Stage) -> None:
    with platform_of(failing(1, always=[2])) as sim:
        platform = on(sim)
        first = platform.first(3)
        one, other = platform.again(first), platform.again(first)
        with pytest.raises(KimiInputError, match="Land them one after the other"):
            platform.merge(first, [*one, *other])
        merged = platform.merge(platform.merge(first, one), other, "c")
    assert merged.manifest["merged"] == {"had_answer": 1, "taken": 1}
    assert merged.statuses == {"succeeded": 2, "failed": 1}


def test_a_results_file_that_somebody_has_shortened_is_refused(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        results = first.folder / "results.jsonl"
        results.write_bytes(b"".join(results.read_bytes().splitlines(keepends=True)[:2]))
        with pytest.raises(KimiInputError, match="not those that their manifest counts"):
            platform.merge(first, ids)


def test_no_answer_that_is_still_to_come_is_lost_where_the_earlier_result_is_replaced(on: Stage) -> None:
    with platform_of(failing(1, 2)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        before = files_of(first.folder)
        file_id = str(platform.hook.get_batch(ids[0]).output_file_id)
        content = sim.file_content(file_id)
        sim.replace_content(file_id, content.splitlines(keepends=True)[0])
        with pytest.raises(KimiBatchError, match="Not every answer") as caught:
            platform.merge(first, ids, "a")
        assert caught.value.retryable
        assert files_of(first.folder) == before
        assert platform.merge(first, ids).statuses == {"succeeded": 2, "missing": 1}
        sim.replace_content(file_id, content)
        assert platform.merge(first, ids).statuses == {"succeeded": 3}
        assert platform.merge(first, ids, "a").statuses == {"succeeded": 3}


def test_the_files_of_the_new_batches_are_deleted_once_they_are_merged(on: Stage) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        task = KimiBatchResultsOperator(
            task_id="results",
            batch_id=ids,
            output=str(first.folder),
            merge_with=str(first.folder),
            delete_remote_files=True,
        )
        manifest = run_task(task).value
        of_new = {sim.batches[ids[0]].input_file_id, sim.batches[ids[0]].output_file_id}
        assert not of_new & {file.id for file in platform.hook.list_files()}
        assert run_task(task).value == manifest, "a clear keeps it"


def test_input_and_merge_with_are_not_given_together() -> None:
    with pytest.raises(ValueError, match="leave out input and key_column"):
        KimiBatchResultsOperator(task_id="a", batch_id="b", output="/o", input="/i", merge_with="/e")


def test_batches_of_several_rounds_are_merged_with_their_rounds_counted_on(on: Stage) -> None:
    def say(custom_id: str, times: int, body: Mapping[str, Any]) -> Answer | RowError:
        return BROKEN if times <= int(custom_id[1:]) else YES

    with platform_of(say) as sim:
        platform = on(sim)
        first = platform.first(3)
        letters = order(str(first.folder / "dead_letter.jsonl"), reuse="never")
        ids = []
        for number in (1, 2):
            attempt = Attempt(replace(TASK, task_id="again"), number=number, mark=str(number))
            ids += submit(platform.hook, letters, attempt, LogRecord(), sim.advance).batch_ids
            sim.advance(100_000)
        merged = platform.merge(first, ids)
    assert [row["round"] for row in merged.rows()] == [1, 3, 3]
    assert merged.manifest["rounds"] == 3
    assert merged.manifest["by_round"] == [
        {"requests": 3, "succeeded": 1},
        {"requests": 2, "succeeded": 0},
        {"requests": 2, "succeeded": 2},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.jsonl", None, "results.jsonl is gone from"),
        ("results.jsonl", b"{}\n{", "cannot be read as they were landed"),
        ("results.jsonl", b'{"custom_id": 1}\n', "only one of both has"),
        ("output.jsonl", None, "output.jsonl is gone from"),
    ],
)
def test_an_earlier_result_that_is_damaged_is_refused(
    on: Stage, name: str, content: bytes | None, message: str
) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        path = first.folder / name
        path.unlink() if content is None else path.write_bytes(content)
        before = files_of(first.folder)
        with pytest.raises(KimiInputError, match=message):
            platform.merge(first, ids, "a")
    assert files_of(first.folder) == before


def test_rows_whose_requests_were_never_known_keep_what_they_are(on: Stage) -> None:
    """Somebody has taken a letter out of the file that an earlier version has landed."""
    with platform_of(failing(1, 2)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        letters = first.folder / "dead_letter.jsonl"
        letters.write_bytes(letters.read_bytes().splitlines(keepends=True)[0])
        del first.manifest["dead_letter_digest"]
        (first.folder / "manifest.json").write_text(json.dumps(first.manifest))
        merged = platform.merge(first, ids)
    assert merged.statuses == {"succeeded": 2, "failed": 1}
    assert merged.manifest["merged"] == {"taken": 1, "asks_other": 1}


def test_rows_of_one_name_in_the_earlier_result_are_not_mistaken_for_each_other(on: Stage) -> None:
    with platform_of(failing(1, 2)) as sim:
        platform = on(sim)
        first = platform.first(3)
        ids = platform.again(first)
        results = first.folder / "results.jsonl"
        results.write_bytes(results.read_bytes().replace(b'{"custom_id":"r2"', b'{"custom_id":"r1"'))
        with pytest.raises(KimiInputError, match="Several rows in .* are named r1"):
            platform.merge(first, ids)


def test_dead_letters_that_were_edited_where_they_lie_put_no_label_on_a_row_that_asked_something_else(
    on: Stage,
) -> None:
    with platform_of(failing(1)) as sim:
        platform = on(sim)
        first = platform.first(3)
        letters = first.folder / "dead_letter.jsonl"
        letters.write_text(letters.read_text().replace("Positive?", "Negative?"))
        ids = platform.again(first)
        with pytest.raises(KimiInputError, match="not as they were landed"):
            platform.merge(first, ids)
        land(platform.hook, first.folder, first.manifest["batch_ids"])
        with pytest.raises(KimiInputError, match="1 ask something else"):
            platform.merge(first, ids)
        assert platform.merge(first, platform.again(first)).statuses == {"succeeded": 3}


def test_a_task_that_merges_with_the_result_of_another_one_runs_after_it() -> None:
    with DAG("merge", schedule=None):
        first = KimiBatchResultsOperator(task_id="first", batch_id="a", output="/a")
        again = KimiBatchResultsOperator(task_id="again", batch_id="b", output="/b", merge_with=first.output)
    assert again.upstream_task_ids == {"first"}
