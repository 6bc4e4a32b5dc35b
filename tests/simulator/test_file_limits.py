"""What an upload is refused for."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, finish, jsonl, line, lines, refused, upload

if TYPE_CHECKING:
    from openai import OpenAI

TOO_MANY = (400, "invalid_request_error", "Invalid request: exceeded the max file count 1000")


def test_a_batch_file_whose_name_does_not_end_in_jsonl_is_refused(lasting_client: "OpenAI") -> None:
    for name in ("in.json", "in.jsonl.gz", "in.JSONL", "jsonl", "in"):
        status, error_type, message = refused(partial(upload, lasting_client, name=name))
        assert (status, error_type) == (400, "invalid_request_error")
        assert ".jsonl" in message
    assert upload(lasting_client, name="输入 (1).jsonl")


def test_a_file_for_another_purpose_may_have_any_name(lasting_client: "OpenAI") -> None:
    for purpose in ("file-extract", "image", "video"):
        assert upload(lasting_client, name="picture.png", purpose=purpose)


@pytest.mark.parametrize("purpose", ["fine-tune", "assistants", "BATCH", ""])
def test_an_unknown_purpose_is_refused_with_the_known_ones(lasting_client: "OpenAI", purpose: str) -> None:
    status, error_type, message = refused(lambda: upload(lasting_client, purpose=purpose))
    assert (status, error_type) == (400, "invalid_request_error")
    assert "file-extract, batch, batch_output, lambda, image, video" in message


def test_an_empty_file_is_refused_and_not_kept(sim: KimiSimulator, client: "OpenAI") -> None:
    status, _, message = refused(lambda: upload(client, b""))
    assert status == 400
    assert "File size is zero" in message
    assert sim.file_ids("batch") == []


def test_100_000_000_bytes_are_accepted_and_one_more_is_not(
    sim: KimiSimulator, client: "OpenAI", tmp_path: Path
) -> None:
    path = tmp_path / "big.jsonl"
    path.touch()

    def store(size_bytes: int) -> int:
        with path.open("r+b") as content:
            content.truncate(size_bytes)
            return client.files.create(file=("big.jsonl", content), purpose="batch").bytes

    assert store(100_000_000) == 100_000_000
    status, error_type, message = refused(lambda: store(100_000_001))
    assert (status, error_type) == (400, "invalid_request_error")
    assert "max file size is 100MB" in message
    assert len(sim.file_ids("batch")) == 1


def test_a_name_given_again_gets_a_number(client: "OpenAI") -> None:
    ids = [upload(client, name=name) for name in ("in.jsonl", "in.jsonl", "in.jsonl", "a.b.jsonl", "a.b.jsonl")]
    ids += [upload(client, name="photo", purpose="image") for _ in range(2)]
    names = [client.files.retrieve(file_id).filename for file_id in ids]
    assert names == ["in.jsonl", "in(1).jsonl", "in(2).jsonl", "a.b.jsonl", "a.b(1).jsonl", "photo", "photo(1)"]
    assert len(set(ids)) == len(ids)


class TestTheFileQuota:
    def test_an_account_keeps_1000_files_results_included(self, sim: KimiSimulator, client: "OpenAI") -> None:
        batch = finish(sim, client, line())
        with uploads(sim) as statuses:
            assert [next(statuses) for _ in range(998)] == [200] * 998
        assert refused(lambda: upload(client)) == TOO_MANY
        assert refused(lambda: upload(client, purpose="image")) == TOO_MANY
        assert batch.output_file_id
        client.files.delete(batch.output_file_id)
        upload(client)
        assert refused(lambda: upload(client)) == TOO_MANY

    def test_an_account_keeps_1000_files_beside_results_that_are_not_listed(self, start: Start) -> None:
        sim, client = start(result_files_listed=False)
        batch = finish(sim, client, line())
        with uploads(sim) as statuses:
            assert [next(statuses) for _ in range(999)] == [200] * 999
        assert refused(lambda: upload(client)) == TOO_MANY
        client.files.delete(batch.input_file_id)
        upload(client)


def test_a_deleted_input_does_not_stop_its_batch(sim: KimiSimulator, client: "OpenAI") -> None:
    file_id = upload(client, jsonl(*lines(4)))
    batch_id = client.batches.create(input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h").id
    sim.advance(10)
    client.files.delete(file_id)
    assert refused(lambda: client.files.content(file_id))[0] == 404
    sim.advance(60)
    batch = client.batches.retrieve(batch_id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 4


@contextmanager
def uploads(sim: KimiSimulator) -> Iterator[Iterator[int]]:
    """Statuses of small uploads, one after another on one connection."""
    connection = http.client.HTTPConnection(sim.base_url.split("/")[2], timeout=20)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=x"}
    body = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="%d.jsonl"\r\n\r\n{}\r\n--x--\r\n'
    )

    def send() -> Iterator[int]:
        for number in range(1000):
            connection.request("POST", "/v1/files", body % number, headers)
            with connection.getresponse() as answer:
                answer.read()
                yield answer.status

    yield send()
    connection.close()
