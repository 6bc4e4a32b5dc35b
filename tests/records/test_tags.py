"""A batch says whose it is."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi import __version__
from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.shard_names import Part
from airflow_provider_kimi.records.tags import Tags, TaskIdentity, check_metadata, digest_of, shortened

TASK = TaskIdentity("labels", "scheduled__2026-09-01T00:00:00+00:00", "ask", 3)
FINGERPRINT = digest_of("input")
PARTS = st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=4)


def test_a_fingerprint_is_a_sha256() -> None:
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", FINGERPRINT)


def test_a_fingerprint_is_the_same_in_every_release() -> None:
    """A stored fingerprint of an older release must still match."""
    expected = hashlib.sha256(b'["Classify: {text}",null]').hexdigest()
    assert digest_of("Classify: {text}", None) == f"sha256:{expected}"


@given(first=PARTS, second=PARTS)
def test_fingerprints_are_equal_only_for_equal_parts(first: list[str | None], second: list[str | None]) -> None:
    assert (digest_of(*first) == digest_of(*second)) is (first == second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param((None,), ("",), id="none and empty"),
        pytest.param(("a", "b"), ("b", "a"), id="order"),
        pytest.param(("ab", "c"), ("a", "bc"), id="where a part ends"),
        pytest.param(('a","b',), ("a", "b"), id="quotes in a part"),
    ],
)
def test_fingerprints_of_similar_parts_differ(first: tuple[str | None, ...], second: tuple[str | None, ...]) -> None:
    assert digest_of(*first) != digest_of(*second)


@given(text=st.text(min_size=490, max_size=530))
def test_a_shortened_id_never_exceeds_the_limit(text: str) -> None:
    assert len(shortened(text)) == min(len(text), 512)


@given(ends=st.sets(st.text("ab/", max_size=60), min_size=2))
def test_shortened_ids_are_never_equal(ends: set[str]) -> None:
    short = {shortened("x" * 490 + end) for end in ends}
    assert len(short) == len(ends)
    assert all(len(text) <= 512 for text in short)


def test_an_id_that_fits_is_not_shortened() -> None:
    assert shortened("x" * 512) == "x" * 512


def test_a_shortened_id_keeps_its_beginning() -> None:
    assert re.fullmatch(r"x{495}~[0-9a-f]{16}", shortened("x" * 513))


def test_shortened_ids_that_differ_only_at_their_end_differ() -> None:
    assert shortened("x" * 600 + "a") != shortened("x" * 600 + "b")


def pairs_with(
    extra: dict[str, str],
    task: TaskIdentity = TASK,
    prompt: str | None = "sha256:p",
    skipped: str | None = None,
) -> dict[str, str]:
    tags = Tags.of_task(
        task,
        job_key="job",
        input_fingerprint=FINGERPRINT,
        prompt_fingerprint=prompt,
        shard="2/3",
        skipped_file=skipped,
    )
    return tags.to_metadata(extra)


def test_metadata_names_the_task_of_a_batch() -> None:
    assert pairs_with({"team": "search"}) == {
        "airflow_dag_id": "labels",
        "airflow_run_id": "scheduled__2026-09-01T00:00:00+00:00",
        "airflow_task_id": "ask",
        "airflow_map_index": "3",
        "kimi_job_key": "job",
        "kimi_input_fingerprint": FINGERPRINT,
        "kimi_shard": "2/3",
        "kimi_provider_version": __version__,
        "kimi_prompt_fingerprint": "sha256:p",
        "team": "search",
    }


def test_metadata_of_an_unmapped_task_has_map_index_minus_one() -> None:
    assert pairs_with({}, TaskIdentity("d", "r", "t"))["airflow_map_index"] == "-1"


def test_metadata_without_a_prompt_has_no_prompt_fingerprint() -> None:
    assert "kimi_prompt_fingerprint" not in pairs_with({}, prompt=None)


def test_metadata_names_the_file_of_skipped_rows() -> None:
    assert pairs_with({}, skipped="file_1") == {**pairs_with({}), "kimi_skipped_file": "file_1"}


def test_pairs_of_the_user_have_priority_over_the_prompt_fingerprint() -> None:
    assert "kimi_prompt_fingerprint" in pairs_with({str(number): "x" for number in range(7)})
    full = pairs_with({str(number): "x" for number in range(8)})
    assert len(full) == 16
    assert "kimi_prompt_fingerprint" not in full


def test_skipped_rows_leave_the_user_one_pair_less() -> None:
    full = pairs_with({str(number): "x" for number in range(7)}, skipped="file_1")
    assert len(full) == 16
    assert "kimi_prompt_fingerprint" not in full
    with pytest.raises(KimiInputError, match=r"of which 9 are this provider's.*Keep at most 7\."):
        pairs_with({str(number): "x" for number in range(8)}, skipped="file_1")


@given(lengths=st.tuples(*[st.integers(0, 1000)] * 3))
def test_metadata_of_any_ids_is_within_the_limits(lengths: tuple[int, int, int]) -> None:
    dag_id, run_id, task_id = ("é" * length for length in lengths)
    pairs = pairs_with({}, TaskIdentity(dag_id, run_id, task_id))
    assert max(len(key) for key in pairs) <= 64
    assert max(len(value) for value in pairs.values()) <= 512


def test_pairs_of_the_user_at_the_limits_are_accepted() -> None:
    assert pairs_with({"k" * 64: "v" * 512, "empty": ""})["k" * 64] == "v" * 512


@pytest.mark.parametrize(
    ("extra", "fault"),
    [
        pytest.param(
            {str(number): "x" for number in range(9)},
            r"has 9 pairs; a batch may have 16, of which 8 are this provider's.*Keep at most 8\.",
            id="one too many",
        ),
        pytest.param({"k" * 65: "x"}, "a key is text of 1 to 64 characters", id="long key"),
        pytest.param({"": "x"}, "has the key '';", id="empty key"),
        pytest.param({1: "x"}, "has the key '1';", id="numeric key"),
        pytest.param({"k": "v" * 513}, "a value of 'k' that is not text of at most 512", id="long value"),
        pytest.param({"k": 1}, "a value of 'k' that is not text of at most 512", id="numeric value"),
        pytest.param({"k": None}, "a value of 'k' that is not text of at most 512", id="null value"),
        pytest.param({"kimi_job_key": "x"}, "'kimi_job_key', which this provider sets", id="our key"),
        pytest.param({"kimi_prompt_fingerprint": "x"}, "which this provider sets", id="our optional key"),
        pytest.param({"kimi_skipped_file": "x"}, "which this provider sets", id="our key of skipped rows"),
    ],
)
def test_pairs_of_the_user_beyond_the_limits_are_refused(extra: dict[str, str], fault: str) -> None:
    with pytest.raises(KimiInputError, match=fault) as caught:
        pairs_with(extra)
    assert "Nothing was sent." in str(caught.value)


def tags_of_a_batch_of(task: TaskIdentity) -> Tags:
    made = Tags.of_task(task, job_key="j", input_fingerprint="f", shard="1/1")
    return Tags.of(Batch(id="batch_1", status="in_progress", metadata=made.to_metadata({"airflow": "x"})))


@pytest.mark.parametrize("task", [TASK, TaskIdentity("d" * 600, "r" * 600, "t" * 600)], ids=["short ids", "long ids"])
def test_a_batch_belongs_to_the_task_instance_that_made_it(task: TaskIdentity) -> None:
    assert tags_of_a_batch_of(task).is_of(task)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(TaskIdentity("other", TASK.run_id, "ask", 3), id="dag"),
        pytest.param(TaskIdentity(TASK.dag_id, "other", "ask", 3), id="run"),
        pytest.param(TaskIdentity(TASK.dag_id, TASK.run_id, "other", 3), id="task"),
        pytest.param(TaskIdentity(TASK.dag_id, TASK.run_id, "ask", 0), id="map index"),
        pytest.param(TaskIdentity(TASK.dag_id, TASK.run_id, "ask"), id="unmapped"),
    ],
)
def test_a_batch_does_not_belong_to_another_task_instance(other: TaskIdentity) -> None:
    assert not tags_of_a_batch_of(other).is_of(TASK)


def test_a_batch_without_tags_belongs_to_no_task_instance() -> None:
    assert not Tags().is_of(TASK)


@given(number=st.integers(1, 10**6), more=st.integers(0, 10**6))
def test_the_label_of_a_shard_holds_its_number_and_their_count(number: int, more: int) -> None:
    tags = Tags(shard=f"{number}/{number + more}")
    assert (tags.shard_number, tags.shard_count) == (number, number + more)


def test_the_label_of_a_part_of_a_shard_says_which_rows() -> None:
    tags = Tags(job_key="k", shard="3/20 rows 1-500 of 1000", round="2")
    assert (tags.shard_number, tags.shard_count, tags.part) == (3, 20, Part(0, 500, 1000))
    assert tags.label == "3/20 rows 1-500 of 1000 round 2"
    assert tags.work == "k 3/20 rows 1-500 of 1000"


@pytest.mark.parametrize(
    "label", [None, 1, "", "1", "0/3", "1/0", "01/3", "a/3", "1/3/", " 1/3", "1/3\n", "１/3"], ids=repr
)
def test_any_other_label_of_a_shard_is_ignored(label: object) -> None:
    tags = Tags.of(Batch(id="batch_1", status="in_progress", metadata={"kimi_shard": label}))
    assert (tags.shard_number, tags.shard_count) == (None, None)


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"team": "search"}, {"kimi_job_key": 1}, {"kimi_job_key": "k", "airflow_dag_id": None}],
    ids=str,
)
def test_a_batch_of_another_program_is_not_ours(metadata: dict[str, object] | None) -> None:
    assert not Tags.of(Batch(id="batch_1", status="in_progress", metadata=metadata)).is_ours


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text()))))
def test_tags_of_another_program_are_read_whatever_they_hold(metadata: dict[str, object]) -> None:
    assert Tags.of(Batch(id="batch_1", status="in_progress", metadata=metadata)) == Tags()


@pytest.mark.parametrize("pair", [{"team": "a\x00"}, {"te\x00am": "a"}, {"team": "\udcff"}], ids=ascii)
def test_metadata_that_airflow_cannot_store_is_refused(pair: dict[str, str]) -> None:
    with pytest.raises(KimiInputError, match="has a NUL or half a character in 'te"):
        check_metadata(pair, {})
