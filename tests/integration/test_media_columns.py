"""Columns that hold images and videos: in the request, or uploaded once and named by it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.support.tasks import Attempt, run_task

pytestmark = pytest.mark.usefixtures("hook")

PNG = b"\x89PNG\r\n\x1a\n of the tests"
JPEG = b"\xff\xd8\xff of the tests"
MP4 = b"\x00\x00\x00\x18ftypmp42 of the tests"


def data_url(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def create(**parameters: Any) -> Attempt:
    return run_task(KimiCreateBatchOperator(task_id="create", prompt="{text}", image_column="photo", **parameters))


def uploaded_urls(sim: KimiSimulator) -> list[list[str]]:
    """The addresses in each line of the input file that was uploaded last, before the text of its message."""
    *_, file_id = sim.file_ids("batch")
    found = []
    for line in sim.file_content(file_id).split(b"\n"):
        if line:
            *media, text = json.loads(line)["body"]["messages"][-1]["content"]
            assert text == {"type": "text", "text": "What is it?"}
            found.append([part[part["type"]]["url"] for part in media])
    return found


def uploads(sim: KimiSimulator) -> int:
    return [call.name for call in sim.journal].count("upload_file")


def statuses(sim: KimiSimulator, folder: Path, created: Attempt) -> list[str]:
    """Bring the batch to its end, land it, and return what became of its rows."""
    sim.advance(60)
    run_task(KimiBatchResultsOperator(task_id="results", batch_id=created.value, output=str(folder)))
    return [json.loads(line)["status"] for line in (folder / "results.jsonl").read_bytes().splitlines()]


@pytest.fixture
def table(tmp_path: Path) -> list[dict[str, Any]]:
    """Rows with images in every form, two of them the same one."""
    (tmp_path / "a.png").write_bytes(PNG)
    return [
        {"text": "What is it?", "photo": str(tmp_path / "a.png")},
        {"text": "What is it?", "photo": JPEG},
        {"text": "What is it?", "photo": [f"file://{tmp_path}/a.png", JPEG]},
    ]


def test_base64_puts_images_into_the_request(sim: KimiSimulator, tmp_path: Path, table: list[dict[str, Any]]) -> None:
    created = create(input=table)
    png, jpeg = data_url("image/png", PNG), data_url("image/jpeg", JPEG)
    assert uploaded_urls(sim) == [[png], [jpeg], [png, jpeg]]
    assert uploads(sim) == 1
    assert statuses(sim, tmp_path / "out", created) == ["succeeded"] * 3


def test_base64_passes_addresses_on_that_the_platform_knows(sim: KimiSimulator) -> None:
    url = data_url("image/png", PNG)
    create(input=[{"text": "What is it?", "photo": address} for address in (url, "ms://file_1")])
    assert uploaded_urls(sim) == [[url], ["ms://file_1"]]


@pytest.mark.parametrize("nothing", [None, "", []])
def test_a_row_without_an_image_is_asked_without_one(sim: KimiSimulator, nothing: object) -> None:
    create(input=[{"text": "What is it?", "photo": nothing}])
    (file_id,) = sim.file_ids("batch")
    messages = json.loads(sim.file_content(file_id))["body"]["messages"]
    assert messages == [{"role": "user", "content": "What is it?"}]


def test_an_upload_sends_each_different_image_once_and_names_it(
    sim: KimiSimulator, tmp_path: Path, table: list[dict[str, Any]]
) -> None:
    created = create(input=table, media="upload")
    stored = {sim.file_content(file_id): f"ms://{file_id}" for file_id in sim.file_ids("image")}
    assert set(stored) == {PNG, JPEG}
    assert len(sim.file_ids("image")) == 2
    assert uploaded_urls(sim) == [[stored[PNG]], [stored[JPEG]], [stored[PNG], stored[JPEG]]]
    assert statuses(sim, tmp_path / "out", created) == ["succeeded"] * 3


def test_an_upload_sends_images_before_the_batch_file_that_names_them(
    sim: KimiSimulator, table: list[dict[str, Any]]
) -> None:
    create(input=table, media="upload")
    assert [call.name for call in sim.journal] == [
        *("list_batches", "list_models", "list_files"),
        *("upload_file", "upload_file", "upload_file", "create_batch"),
        *("list_batches", "list_files"),
    ]


def test_an_upload_is_not_repeated_after_a_create_that_was_refused(
    sim: KimiSimulator, table: list[dict[str, Any]]
) -> None:
    sim.inject("create_batch", status=400, error_type="invalid_request_error", message="Invalid request: no")
    with pytest.raises(AirflowFailException, match="Invalid request: no"):
        create(input=table, media="upload")
    images = sim.file_ids("image")
    create(input=table, media="upload")
    assert sim.file_ids("image") == images
    assert len(sim.batches) == 1
    assert uploaded_urls(sim)[0] == [f"ms://{images[0]}"]


def test_an_upload_is_not_repeated_if_the_batch_exists(sim: KimiSimulator, table: list[dict[str, Any]]) -> None:
    first = create(input=table, media="upload")
    sent = uploads(sim)
    assert create(input=table, media="upload").value == first.value
    assert uploads(sim) == sent


def test_an_upload_of_videos_has_their_own_purpose(sim: KimiSimulator) -> None:
    create(input=[{"text": "What is it?", "photo": PNG, "film": MP4}], video_column="film", media="upload")
    (image,), (video,) = sim.file_ids("image"), sim.file_ids("video")
    assert uploaded_urls(sim) == [[f"ms://{image}", f"ms://{video}"]]


def test_an_upload_does_not_start_while_one_row_has_a_problem(sim: KimiSimulator, table: list[dict[str, Any]]) -> None:
    with pytest.raises(AirflowFailException, match="Nothing was sent"):
        create(input=[*table, {"text": "What is it?", "photo": b"no image"}], media="upload")
    assert sim.journal == []


@pytest.mark.parametrize("media", ["base64", "upload"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param("https://example.com/a.png", "which Kimi does not fetch in a batch", id="public address"),
        pytest.param("/nowhere/a.png", "that does not exist", id="no such file"),
        pytest.param("/", "that cannot be opened", id="a directory"),
        pytest.param(b"%PDF-1.7", "that is of a format that Kimi does not accept", id="another format"),
        pytest.param(MP4, "that is video/mp4; use video_column for it", id="a video"),
        pytest.param(7, "that is a int", id="a number"),
    ],
)
def test_what_is_not_an_image_is_refused_by_its_row(sim: KimiSimulator, media: Any, value: object, said: str) -> None:
    rows = [{"text": "What is it?", "photo": PNG}, {"text": "What is it?", "photo": value}]
    with pytest.raises(AirflowFailException) as caught:
        create(input=rows, media=media)
    assert "element 2 has an image in column 'photo' that " in str(caught.value)
    assert said in str(caught.value)
    assert sim.journal == []
