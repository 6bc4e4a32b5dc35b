"""What earlier attempts left on the platform decides whether to pay."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.tags import Tags, TaskIdentity
from airflow_provider_kimi.submission.earlier_work import EarlierWork, changed_input, earlier_work, what_changed
from tests.support.samples import ACTIVE, TERMINAL, UNKNOWN, make_batch

LOST = ("failed", "expired", "cancelled", "cancelling")
USABLE = ("validating", "in_progress", "finalizing", "completed", *UNKNOWN)

TASK = TaskIdentity("labels", "run_1", "ask")
OTHER_TASK = TaskIdentity("labels", "run_2", "ask")


def tagged(job: str = "k", shard: str = "1/1", task: TaskIdentity = TASK) -> dict[str, str]:
    """Metadata as the provider writes it."""
    return Tags.of_task(task, job_key=job, input_fingerprint="f", shard=shard).to_metadata({})


def labels(shards: int) -> list[str]:
    """Every `kimi_shard` of a job."""
    return [f"{number}/{shards}" for number in range(1, shards + 1)]


def decode_batch(**fields: object) -> Batch:
    """A batch as the platform sends it."""
    return msgspec.convert({"id": "batch_1", "status": "in_progress", **fields}, Batch)


def shard_of(*found: Batch) -> Batch | None:
    """What is found for the only batch of a job."""
    return earlier_work(found, TASK, "k", labels(1)).batches.get("1/1")


@pytest.mark.parametrize(
    ("metadata", "belongs"),
    [
        pytest.param({"kimi_job_key": "k", "kimi_shard": "1/2"}, True, id="this job and a shard of it"),
        pytest.param({"kimi_job_key": "k", "kimi_shard": "1/2", "more": "x"}, True, id="further pairs beside them"),
        pytest.param(tagged("k", "1/2", OTHER_TASK), True, id="made by another task instance"),
        pytest.param({"kimi_job_key": "other", "kimi_shard": "1/2"}, False, id="another job key"),
        pytest.param({"kimi_job_key": "k", "kimi_shard": "1/3"}, False, id="a shard of another cut"),
        pytest.param({"kimi_job_key": "k", "kimi_shard": "3/2"}, False, id="a shard beyond the last"),
        pytest.param({"kimi_job_key": "k"}, False, id="no shard"),
        pytest.param({"kimi_shard": "1/2"}, False, id="no job key"),
        pytest.param({}, False, id="empty metadata"),
        pytest.param(None, False, id="no metadata"),
    ],
)
def test_a_batch_belongs_to_a_job_by_its_job_key_and_its_shard(metadata: dict[str, str] | None, belongs: bool) -> None:
    batch = make_batch(metadata=metadata)
    assert earlier_work([batch], TASK, "k", labels(2)).batches == ({"1/2": batch} if belongs else {})


def test_each_batch_of_a_job_is_found_by_its_shard() -> None:
    first, third = make_batch(metadata=tagged(shard="1/3")), make_batch(metadata=tagged(shard="3/3"))
    assert earlier_work([third, first], TASK, "k", labels(3)).batches == {"1/3": first, "3/3": third}


@pytest.mark.parametrize("status", USABLE, ids=repr)
def test_an_attempt_attaches_to_work_that_runs_or_is_done(status: str) -> None:
    """The list of the platform is the record of what was submitted."""
    batch = make_batch(status, metadata=tagged())
    assert shard_of(batch) is batch


@pytest.mark.parametrize("status", LOST)
def test_an_attempt_does_not_attach_to_lost_work(status: str) -> None:
    lost = make_batch(status, metadata=tagged())
    assert earlier_work([lost], TASK, "k", labels(1)) == EarlierWork(ended={"1/1": (lost,)})


def test_an_attempt_attaches_to_nothing_where_no_batch_exists() -> None:
    assert earlier_work([], TASK, "k", labels(1)) == EarlierWork()


@pytest.mark.parametrize("status", LOST)
def test_an_attempt_attaches_to_the_batch_that_runs_and_not_to_an_older_lost_one(status: str) -> None:
    older = make_batch(status, "b1", created_at=100, metadata=tagged())
    newer = make_batch("in_progress", "b2", created_at=200, metadata=tagged())
    assert shard_of(older, newer) is newer


@pytest.mark.parametrize(
    ("chosen", "other"),
    [
        pytest.param(("b2", 100), ("b1", 200), id="the older one"),
        pytest.param(("b1", 100), ("b2", 100), id="the smaller id of one second"),
        pytest.param(("b2", None), ("b1", 100), id="one without a time of creation"),
    ],
)
def test_an_attempt_attaches_to_one_of_several_usable_batches(
    chosen: tuple[str, int | None], other: tuple[str, int | None]
) -> None:
    first, second = (
        make_batch("completed", batch_id, created_at=time, metadata=tagged()) for batch_id, time in (chosen, other)
    )
    assert shard_of(first, second) is first
    assert shard_of(second, first) is first


@given(
    found=st.lists(
        st.builds(
            make_batch,
            st.sampled_from([*ACTIVE, *TERMINAL, *UNKNOWN]),
            st.text("ab12", min_size=1),
            created_at=st.one_of(st.none(), st.integers(0, 3)),
            metadata=st.builds(tagged, st.sampled_from("kx"), st.sampled_from(["1/2", "2/2", "1/3"])),
        ),
        unique_by=lambda batch: batch.id,
    ).flatmap(lambda batches: st.tuples(st.just(batches), st.permutations(batches)))
)
def test_two_attempts_attach_to_the_same_batches_in_whatever_order_these_are_listed(
    found: tuple[list[Batch], list[Batch]],
) -> None:
    listed, shuffled = found
    earlier = earlier_work(listed, TASK, "k", labels(2))
    assert earlier_work(shuffled, TASK, "k", labels(2)) == earlier
    usable = [batch.metadata for batch in listed if batch.status not in LOST]
    assert set(earlier.batches) == {shard for shard in ("1/2", "2/2") if tagged("k", shard) in usable}


def refusal(*found: Batch) -> str:
    """The message about an input that changed after these batches were made."""
    return str(changed_input(earlier_work(found, TASK, "k", labels(2)).replaced, TASK, "the prompt"))


@pytest.mark.parametrize("status", USABLE, ids=repr)
def test_a_changed_input_is_refused_while_the_earlier_work_runs_or_is_done(status: str) -> None:
    message = refusal(make_batch(status, "batch_old", metadata=tagged("before")))
    assert message.startswith("An earlier attempt of task ask in run run_1 submitted other requests than this would")
    assert "Changed: the prompt." in message
    assert "Nothing was sent now." in message
    assert message.endswith(f"billed: batch_old ({status}).")
    assert "on_changed_input='fresh'" in message


@pytest.mark.parametrize("status", LOST)
def test_a_changed_input_is_submitted_where_the_earlier_work_is_lost(status: str) -> None:
    lost = make_batch(status, "batch_old", metadata=tagged("before"))
    assert earlier_work([lost], TASK, "k", labels(2)).replaced == ()


def test_another_input_of_another_task_instance_is_not_a_changed_input() -> None:
    other = make_batch("completed", "batch_old", metadata=tagged("before", task=OTHER_TASK))
    assert earlier_work([other], TASK, "k", labels(2)) == EarlierWork()


def test_an_input_has_not_changed_where_a_shard_of_it_was_submitted_already() -> None:
    old = make_batch("completed", "batch_old", metadata=tagged("before"))
    shard = make_batch("in_progress", "batch_new", metadata=tagged("k", "1/2"))
    earlier = earlier_work([old, shard], TASK, "k", labels(2))
    assert earlier == EarlierWork({"1/2": shard}, other=(old,))
    assert earlier.replaced == ()


@pytest.mark.parametrize(
    ("count", "more"), [(5, ""), (6, " and 1 more"), (9, " and 4 more")], ids=["5 batches", "6 batches", "9 batches"]
)
def test_the_refusal_of_a_changed_input_names_at_most_five_batches(count: int, more: str) -> None:
    found = [make_batch("completed", f"b{n}", created_at=n, metadata=tagged("before")) for n in range(count)]
    message = refusal(*reversed(found))
    assert message.endswith(f"billed: {', '.join(f'b{n} (completed)' for n in range(5))}{more}.")


NEW = {"kimi_prompt_fingerprint": "p", "kimi_model": "m", "kimi_params": "q"}


def changes(tags: dict[str, str] | None = None, total: int = 7, shards: int = 1) -> str:
    """What is named where the earlier batch had these tags and so many requests, and there are so many shards now."""
    old = decode_batch(metadata={**NEW, **(tags or {})}, request_counts={"total": total})
    return what_changed([old], Tags.of(decode_batch(metadata=NEW)), shards, requests=7)


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        ("kimi_prompt_fingerprint", "the prompt"),
        ("kimi_model", "the model"),
        ("kimi_params", "request parameters"),
    ],
    ids=["prompt", "model", "request parameters"],
)
def test_what_changed_is_named_by_the_tag_that_differs(tag: str, what: str) -> None:
    assert changes({tag: "x"}) == what


def test_a_changed_number_of_requests_or_batches_is_named_with_both_numbers() -> None:
    assert changes(total=1200) == "the number of requests (1,200 then, 7 now)"
    assert changes(shards=2) == "the number of batches (1 then, 2 now)"


def test_rows_or_their_cut_have_changed_where_no_tag_differs() -> None:
    assert changes() == "what the rows hold, or how they are cut into batches"
    assert changes(total=0).startswith("what the rows hold")  # nothing is counted while validating


def test_attempts_that_race_keep_the_oldest_batch_and_cancel_the_others_that_run() -> None:
    racing = [make_batch("in_progress", f"b{n}", created_at=n, metadata=tagged()) for n in (3, 1, 2)]
    done = make_batch("completed", "b4", created_at=4, metadata=tagged())
    earlier = earlier_work([*racing, done], TASK, "k", labels(1))
    assert earlier.batches["1/1"].id == "b1"
    assert [batch.id for batch in earlier.duplicates] == ["b2", "b3"]


def fresh(mark: str, batch_id: str, created_at: int) -> Batch:
    """A batch of an attempt that was to submit fresh work."""
    return make_batch("in_progress", batch_id, created_at=created_at, metadata={**tagged(), "kimi_attempt": mark})


def test_fresh_work_counts_from_then_on_and_what_it_passed_over_is_not_a_duplicate() -> None:
    old = make_batch("in_progress", "b1", created_at=1, metadata=tagged())
    found = [old, fresh("x", "b3", 3), fresh("x", "b2", 2)]
    earlier = earlier_work(found, TASK, "k", labels(1))
    assert (earlier.batches["1/1"].id, [batch.id for batch in earlier.duplicates]) == ("b2", ["b3"])


def test_a_fresh_attempt_attaches_only_to_batches_of_its_own() -> None:
    found = [make_batch("in_progress", "b1", metadata=tagged()), fresh("x", "b2", 2)]
    assert earlier_work(found, TASK, "k", labels(1), fresh="y").batches == {}
    assert earlier_work(found, TASK, "k", labels(1), fresh="x").batches["1/1"].id == "b2"
