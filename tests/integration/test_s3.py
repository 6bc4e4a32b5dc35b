"""Inputs, media and results on S3 work as on a local disk, and faults come with a remedy."""

import gzip
import json
import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.operators.batch import KimiBatchResultsOperator, KimiCreateBatchOperator
from airflow_provider_kimi.simulator import KimiSimulator
from tests.crash.s3_gate import gate_before
from tests.support.requests import request, submit_prompts
from tests.support.s3 import Storage
from tests.support.tasks import Attempt, run_task

pytestmark = pytest.mark.usefixtures("hook")

ROWS = [{"id": "a", "text": "很好"}, {"id": "b", "text": "太差 \u2028 {x}"}]
PNG = b"\x89PNG\r\n\x1a\n of the tests"


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def csv_gz() -> bytes:
    return gzip.compress("".join(["id,text\n", *(f"{row['id']},{row['text']}\n" for row in ROWS)]).encode())


def parquet_file() -> bytes:
    import pyarrow
    from pyarrow import parquet

    target = BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), target)
    return target.getvalue()


def create(**parameters: Any) -> Attempt:
    return run_task(KimiCreateBatchOperator(task_id="create", **parameters))


def land(batch_ids: list[str], output: str, **parameters: Any) -> Attempt:
    return run_task(KimiBatchResultsOperator(task_id="results", batch_id=batch_ids, output=output, **parameters))


def uploaded(sim: KimiSimulator) -> list[Any]:
    """The lines of the input file that was uploaded last."""
    *_, file_id = sim.file_ids("batch")
    return [json.loads(line) for line in sim.file_content(file_id).split(b"\n") if line]


def uploaded_texts(sim: KimiSimulator) -> list[str]:
    return [line["body"]["messages"][0]["content"] for line in uploaded(sim)]


@pytest.mark.parametrize(
    ("key", "content"),
    [
        pytest.param("in/rows.jsonl", lambda: jsonl(*ROWS), id="jsonl"),
        pytest.param("rows.csv.gz", csv_gz, id="csv.gz"),
        pytest.param("in/day 1/评论.parquet", parquet_file, id="parquet with an odd name"),
    ],
)
def test_an_input_on_s3_may_be_a_table(sim: KimiSimulator, s3: Storage, key: str, content: Callable[[], bytes]) -> None:
    create(input=s3.put(key, content()), prompt="{text}", key_column="id")
    assert uploaded_texts(sim) == [row["text"] for row in ROWS]
    assert [line["custom_id"] for line in uploaded(sim)] == ["a", "b"]


def test_ready_requests_on_s3_are_sent_byte_for_byte(sim: KimiSimulator, s3: Storage) -> None:
    content = jsonl(request("x"), request("y")).replace(b'": ', b'":   ')
    create(input=s3.put("ready.jsonl", content))
    (file_id,) = sim.file_ids("batch")
    assert sim.file_content(file_id) == content


@pytest.mark.parametrize("where", ["in", "in/", "in/*.jsonl", "in/part-?.*"])
def test_an_input_on_s3_may_be_a_directory_or_a_pattern(sim: KimiSimulator, s3: Storage, where: str) -> None:
    for key in ("in/part-2.jsonl", "in/part-1.jsonl", "in/_nested/part-3.jsonl", "other/part-4.jsonl"):
        s3.put(key, jsonl({"text": key}))
    s3.put("in/_SUCCESS", b"")
    create(input=s3.uri(where), prompt="{text}")
    assert uploaded_texts(sim) == ["in/part-1.jsonl", "in/part-2.jsonl"]


@pytest.mark.parametrize("where", ["in/**/*.jsonl", "in/**", "**/*.jsonl"])
def test_two_stars_mean_any_depth_on_s3_too(sim: KimiSimulator, s3: Storage, where: str) -> None:
    for key in ("in/b/c/2.jsonl", "in/z.jsonl", "in/b/1.jsonl", "in/_tmp/3.jsonl", "in/b/.x/4.jsonl"):
        s3.put(key, jsonl({"text": key}))
    create(input=s3.uri(where), prompt="{text}")
    assert uploaded_texts(sim) == ["in/b/1.jsonl", "in/b/c/2.jsonl", "in/z.jsonl"]


@pytest.mark.parametrize("where", ["in", "in/", "in/day=*/*.jsonl", "in/day=*", "in/**/*.jsonl"])
def test_the_partitions_of_a_data_set_on_s3_are_columns(sim: KimiSimulator, s3: Storage, where: str) -> None:
    for key in ("in/day=2026-01-02/a.jsonl", "in/day=2026-01-01/b.jsonl", "in/day=a%20b/a.jsonl"):
        s3.put(key, jsonl({"text": "hi"}))
    s3.put("in/_SUCCESS", b"")
    create(input=s3.uri(where), prompt="{day}: {text}")
    assert uploaded_texts(sim) == ["2026-01-01: hi", "2026-01-02: hi", "a b: hi"]


def test_an_input_on_s3_may_be_a_path_object(sim: KimiSimulator, s3: Storage) -> None:
    create(input=ObjectStoragePath(s3.put("rows.jsonl", jsonl(*ROWS))), prompt="{text}")
    assert len(uploaded(sim)) == 2


def test_an_input_on_s3_that_has_changed_is_read_again(sim: KimiSimulator, s3: Storage) -> None:
    """The libraries remember what they have listed for as long as the process lives."""
    s3.put("in/part-1.jsonl", jsonl({"text": "one"}))
    create(input=s3.uri("in"), prompt="{text}")
    s3.put("in/part-1.jsonl", jsonl({"text": "one that is longer now"}))
    s3.put("in/part-2.jsonl", jsonl({"text": "two"}))
    create(input=s3.uri("in"), prompt="{text}", reuse="never")
    assert uploaded_texts(sim) == ["one that is longer now", "two"]


@pytest.mark.parametrize("media", ["base64", "upload"])
def test_an_image_may_be_on_s3(sim: KimiSimulator, s3: Storage, media: Any) -> None:
    row = {"text": "What is it?", "photo": s3.put("photos/a.png", PNG)}
    create(input=[row], prompt="{text}", image_column="photo", media=media)
    (line,) = uploaded(sim)
    url = line["body"]["messages"][0]["content"][0]["image_url"]["url"]
    if media == "upload":
        assert url == f"ms://{sim.file_ids('image')[0]}"
        assert sim.file_content(sim.file_ids("image")[0]) == PNG
    else:
        assert url.startswith("data:image/png;base64,")


def test_an_image_on_s3_that_does_not_exist_is_reported_by_its_row(sim: KimiSimulator, s3: Storage) -> None:
    rows = [{"photo": s3.put("a.png", PNG)}, {"photo": s3.uri("b.png")}]
    with pytest.raises(AirflowFailException) as caught:
        create(input=rows, prompt="What is it?", image_column="photo")
    assert "element 2 has an image in column 'photo' that does not exist" in str(caught.value)
    assert sim.journal == []


@pytest.mark.parametrize("key", ["gone.jsonl", "gone/*.jsonl", "gone/"])
def test_a_missing_key_on_s3_is_reported_with_a_remedy(sim: KimiSimulator, s3: Storage, key: str) -> None:
    s3.put("here.jsonl", jsonl(*ROWS))
    message = refusal_of(sim, s3.uri(key))
    assert f"Input '{s3.uri(key)}' " in message
    assert "Check the path" in message


@pytest.mark.parametrize("key", ["rows.jsonl", "*.jsonl"])
def test_a_missing_bucket_on_s3_is_reported_with_a_remedy(sim: KimiSimulator, s3: Storage, key: str) -> None:
    message = refusal_of(sim, f"s3://{s3.conn_id}@no-such-bucket/{key}")
    assert "no-such-bucket" in message
    assert "Check the path" in message


@pytest.mark.parametrize("key", ["rows.jsonl", "", "*.jsonl"])
def test_refused_credentials_on_s3_are_reported_with_a_remedy(sim: KimiSimulator, s3: Storage, key: str) -> None:
    s3.put("rows.jsonl", jsonl(*ROWS))
    with s3.refusing():
        message = refusal_of(sim, s3.uri(key))
    assert "cannot be opened (PermissionError: " in message
    assert "Check the path and its access." in message


def test_an_output_on_s3_that_cannot_be_written_loses_no_results(
    sim: KimiSimulator, hook: KimiHook, s3: Storage
) -> None:
    batch_ids = submit_prompts(hook, 3).batch_ids
    sim.advance(60)
    with pytest.raises(AirflowFailException, match="The specified bucket does not exist") as caught:
        land(batch_ids, f"s3://{s3.conn_id}@no-such-bucket/out")
    assert "The results of the batches stay on the platform. Check the path and its access." in str(caught.value)
    with s3.refusing(), pytest.raises(AirflowFailException, match="PermissionError"):
        land(batch_ids, s3.uri("out"))
    assert s3.keys() == []
    assert land(batch_ids, s3.uri("out")).value["counts"]["succeeded"] == 3


def refusal_of(sim: KimiSimulator, uri: str) -> str:
    """Create from an input that cannot be read, assert that nothing was sent, and return what is said."""
    with pytest.raises(AirflowFailException) as caught:
        create(input=uri, prompt="{text}")
    message = str(caught.value)
    assert "Nothing was sent." in message
    assert "\n" not in message
    assert sim.journal == []
    return message


def test_a_result_is_landed_on_s3_with_the_manifest_last(
    sim: KimiSimulator, hook: KimiHook, s3: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    batch_ids = submit_prompts(hook, 20).batch_ids
    sim.advance(60)
    with caplog.at_level(logging.INFO, logger="werkzeug"):  # the S3 server's
        attempt = land(batch_ids, s3.uri("out"))
    puts = [line for line in caplog.messages if '"PUT ' in line]
    names = [line.split("/out/")[1].split()[0] for line in puts]
    landing = names[0].split("-")[1].split(".")[0]
    assert names == [
        *(f".kimi-{landing}.{name}" for name in ("output.jsonl", "results.jsonl", "report.html")),
        *("manifest.json", "results.jsonl", "output.jsonl", "report.html", "manifest.json"),
    ]
    (file_id,) = attempt.ti.xcoms["output_file_ids"]
    assert s3.get("out/output.jsonl") == sim.file_content(file_id)
    assert len(s3.get("out/results.jsonl").splitlines()) == 20
    assert json.loads(s3.get("out/manifest.json")) == attempt.value
    assert attempt.value["output_file"] == attempt.ti.xcoms["output_file"] == s3.uri("out/output.jsonl")
    plain = {f"{name}_file": f"s3://{s3.bucket}/out/{name}.jsonl" for name in ("results", "output")}
    plain["report_file"] = f"s3://{s3.bucket}/out/report.html"
    assert attempt.value["plain_locations"] == attempt.ti.xcoms["plain_locations"] == plain
    assert s3.keys() == ["out/manifest.json", "out/output.jsonl", "out/report.html", "out/results.jsonl"]


def test_a_result_on_s3_that_is_replaced_leaves_no_file_behind(
    sim: KimiSimulator, hook: KimiHook, s3: Storage, tmp_path: Path
) -> None:
    batch_ids = submit_prompts(hook, 3).batch_ids
    sim.advance(60)
    run_task(KimiBatchResultsOperator(task_id="r", batch_id=batch_ids, output=s3.uri("out"), output_format="csv"))
    land(batch_ids, s3.uri("out"))
    land(batch_ids, str(tmp_path))
    assert s3.keys() == ["out/manifest.json", "out/output.jsonl", "out/report.html", "out/results.jsonl"]
    for name in ("output.jsonl", "results.jsonl"):
        assert s3.get(f"out/{name}") == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("key", ["out?9", "out[1]", "out*", "a b/out%20c", "out#1"])
def test_the_name_of_an_output_on_s3_is_no_pattern(sim: KimiSimulator, s3: Storage, key: str) -> None:
    batch_ids = create(input=["one", "two"]).value
    sim.advance(60)
    mine = ["out1/output.jsonl", "out1/results.csv", "out9/results.csv"]
    for name in mine:
        s3.put(name, b"mine")
    for output_format, results in (("csv", "results.csv"), ("jsonl", "results.jsonl"), ("jsonl", "results.jsonl")):
        land(batch_ids, s3.uri(key), output_format=output_format)
        landed = [f"{key}/{name}" for name in ("manifest.json", "output.jsonl", "report.html", results)]
        assert sorted(s3.keys()) == sorted([*landed, *mine])
    assert {s3.get(name) for name in mine} == {b"mine"}


def test_a_result_on_s3_is_landed_again_by_a_key_that_may_not_list_the_bucket(
    sim: KimiSimulator, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For such a key, S3 answers 403 where there is no file."""
    batch_ids = create(input=["one", "two"]).value
    sim.advance(60)
    with gate_before(s3_endpoint) as gate:
        storage = Storage(gate.url, uuid4().hex)
        monkeypatch.setenv(f"AIRFLOW_CONN_{storage.conn_id.upper()}", json.dumps(storage.connection))
        gate.may_list = False
        for output_format in ("csv", "csv", "jsonl"):
            land(batch_ids, storage.uri("out"), output_format=output_format)
        gate.may_list = True
        names = ("manifest.json", "output.jsonl", "report.html", "results.jsonl")
        assert storage.keys() == [f"out/{name}" for name in names]


def test_a_result_on_s3_has_the_columns_of_a_table_on_s3(sim: KimiSimulator, s3: Storage) -> None:
    source = s3.put("in/rows.parquet", parquet_file())
    attempt = create(input=source, prompt="Is it positive or negative? {text}", key_column="id")
    sim.advance(60)
    land(attempt.value, s3.uri("out"), input=source, key_column="id")
    rows = [json.loads(line) for line in s3.get("out/results.jsonl").split(b"\n") if line]
    assert [(row["id"], row["text"], row["content"]) for row in rows] == [
        ("a", "很好", "positive"),
        ("b", "太差 \u2028 {x}", "negative"),
    ]
