"""Which files may be deleted: none that a batch may need, and none of a run of which nothing is known."""

from typing import Any

import pytest

from airflow_provider_kimi.account.orphans import Owner
from airflow_provider_kimi.account.remote_files import UNUSED_INPUT_SECONDS, UNUSED_MEDIA_SECONDS, FileUses, Runs
from airflow_provider_kimi.api.models import Batch, RemoteFile
from tests.support.samples import ACTIVE, UNKNOWN, make_batch

JOB, OTHER_JOB = "a" * 32, "b" * 32
TAGS = {"airflow_dag_id": "d", "airflow_run_id": "r", "airflow_task_id": "t", "kimi_job_key": JOB}
OWNER = Owner("d", "r")
NOW = 1_800_000_000

INPUT = RemoteFile(id="file_i", filename=f"{JOB}-1-{'c' * 12}.jsonl", created_at=NOW - 10 * 86_400)
SKIPPED = RemoteFile(id="file_s", filename=f"{JOB}-skipped.jsonl", created_at=NOW - 10 * 86_400)
MEDIA = RemoteFile(id="file_m", filename=f"kimi-media-{'d' * 64}.png", created_at=NOW - 10 * 86_400)


def batch(status: str = "completed", **fields: Any) -> Batch:
    return make_batch(status, **{"input_file_id": INPUT.id, "metadata": TAGS, **fields})


def reason(uses: FileUses, file: RemoteFile, runs: Runs | None = None) -> str | None:
    return uses.reason_to_keep(file, NOW) or (runs.reason_to_keep(uses.owners(file)) if runs else None)


@pytest.mark.parametrize("status", [*ACTIVE, *UNKNOWN])
def test_an_input_stays_while_a_batch_works_on_it_that_is_not_known_to_have_ended(status: str) -> None:
    assert f"batch batch_1 is {status} and needs it" in str(reason(FileUses([batch(status)]), INPUT))


@pytest.mark.parametrize("status", ["in_progress", *UNKNOWN])
@pytest.mark.parametrize("metadata", [TAGS, None], ids=["tagged", "untagged"])
def test_an_input_stays_while_a_batch_runs_that_does_not_say_what_it_works_on(
    status: str, metadata: dict[str, str] | None
) -> None:
    """A list may leave the input out, and the tags too."""
    uses = FileUses([batch(status, input_file_id=None, metadata=metadata)])
    assert "does not name its input, and may need it" in str(reason(uses, INPUT))
    assert "does not name its input, and may need it" in str(reason(uses, SKIPPED))


def test_an_input_may_go_while_a_batch_of_another_job_hides_its_input() -> None:
    hidden = batch("in_progress", input_file_id=None, metadata={**TAGS, "kimi_job_key": OTHER_JOB})
    assert reason(FileUses([hidden, batch(batch_id="batch_2")]), INPUT) is None


def test_an_odd_batch_of_a_stranger_keeps_no_file_of_ours_for_ever() -> None:
    stranger = make_batch("unknown", "stranger")
    assert reason(FileUses([stranger, batch(batch_id="batch_2")]), INPUT) is None
    assert reason(FileUses([stranger, batch(batch_id="batch_2")]), MEDIA) is None


def test_images_stay_while_a_batch_runs_that_may_be_ours() -> None:
    assert "is running, and may need it" in str(reason(FileUses([batch("in_progress")]), MEDIA))
    assert "is running, and may need it" in str(reason(FileUses([make_batch("in_progress")]), MEDIA))


@pytest.mark.parametrize(
    ("file", "seconds"), [(INPUT, UNUSED_INPUT_SECONDS), (SKIPPED, UNUSED_INPUT_SECONDS), (MEDIA, UNUSED_MEDIA_SECONDS)]
)
def test_a_file_that_no_batch_names_stays_as_long_as_one_may_work_on_it_unseen(
    file: RemoteFile, seconds: float
) -> None:
    uses = FileUses([])
    uploaded: dict[str, Any] = {"id": file.id, "filename": file.filename}
    young = RemoteFile(**uploaded, created_at=int(NOW - seconds + 60))
    assert "no batch uses it, but one may be made" in str(reason(uses, young))
    assert "no batch uses it, but one may be made" in str(reason(uses, RemoteFile(**uploaded)))
    assert reason(uses, RemoteFile(**uploaded, created_at=int(NOW - seconds - 60))) is None


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("running", "run r of d has not ended"),
        ("queued", "run r of d has not ended"),
        (None, "run r of d is unknown here; another Airflow may share the account"),
        ("success", None),
        ("failed", None),
    ],
)
@pytest.mark.parametrize(
    "used", [batch(), batch(input_file_id="another shard's")], ids=["its own batch", "a batch of its job"]
)
def test_a_file_stays_for_a_run_that_goes_on_or_is_unknown(used: Batch, state: str | None, says: str | None) -> None:
    uses = FileUses([used])
    assert uses.owners(INPUT) == [OWNER]
    found = reason(uses, INPUT, Runs({OWNER: state}))
    assert found is None if says is None else says in str(found)


def test_files_of_unknown_runs_may_go_on_request() -> None:
    uses = FileUses([batch()])
    assert reason(uses, INPUT, Runs({OWNER: None}, spares_unknown=False)) is None
    assert "has not ended" in str(reason(uses, INPUT, Runs({OWNER: "running"}, spares_unknown=False)))


@pytest.mark.parametrize("used", [INPUT, SKIPPED], ids=["input", "skipped rows"])
def test_a_file_is_of_an_unknown_run_where_the_list_hides_the_tags_of_batches(used: RemoteFile) -> None:
    uses = FileUses([batch(metadata=None)])
    assert "no batch says which run it is of" in str(reason(uses, used, Runs()))
    assert reason(uses, used, Runs(spares_unknown=False)) is None


def test_an_input_of_a_job_without_any_batch_is_of_no_run() -> None:
    uses = FileUses([batch(metadata={**TAGS, "kimi_job_key": OTHER_JOB}, input_file_id="another")])
    assert uses.owners(INPUT) == []
    assert reason(uses, INPUT, Runs()) is None
