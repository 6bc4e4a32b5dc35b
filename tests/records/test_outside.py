"""Locations that any program can read, and JSON that Airflow can store."""

import json

import pytest

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.outside import plain_location, storable


@pytest.mark.parametrize(
    ("uri", "plain"),
    [
        ("s3://aws_default@bucket/a b/results.jsonl", "s3://bucket/a b/results.jsonl"),
        ("s3://bucket/me@home/results.jsonl", "s3://bucket/me@home/results.jsonl"),
        ("s3://team@prod@bucket/x", "s3://bucket/x"),
        ("gs://bucket/x", "gs://bucket/x"),
        ("hdfs://conn@node:8020/x", "hdfs://node:8020/x"),
        ("file:///data/me@home/a%20b#c/results.jsonl", "/data/me@home/a%20b#c/results.jsonl"),
        ("file:///data/标签/results.jsonl", "/data/标签/results.jsonl"),
    ],
)
def test_a_plain_location_is_a_path_or_a_uri_without_a_connection(uri: str, plain: str) -> None:
    assert plain_location(uri) == plain


def test_a_manifest_names_every_file_that_exists_in_both_ways() -> None:
    manifest = Manifest(batch_ids=["b"], results_file="s3://c@bucket/x/results.csv", realtime_file="file:///y.jsonl")
    plain = {"results_file": "s3://bucket/x/results.csv", "realtime_file": "/y.jsonl"}
    for written in (manifest.to_dict(), manifest.to_event(), json.loads(manifest.to_json())):
        assert written["plain_locations"] == plain
        assert written["results_file"] == "s3://c@bucket/x/results.csv"
    assert Manifest.of_json(manifest.to_json()) == manifest


def test_a_manifest_of_an_earlier_version_gets_its_plain_locations_when_it_is_read() -> None:
    stored = Manifest(batch_ids=["b"], counts={"total": 1}, results_file="file:///data/results.jsonl").to_dict()
    del stored["plain_locations"]
    read = Manifest.of_json(json.dumps(stored).encode())
    assert read is not None
    assert read.to_dict()["plain_locations"] == {"results_file": "/data/results.jsonl"}


def test_what_no_database_of_airflow_stores_is_replaced_in_values_and_names() -> None:
    assert storable({"a\x00": ["\udcff", {"b": "评👍\n"}], "c": [1, 2.5, None, True]}) == {
        "a\ufffd": ["\ufffd", {"b": "评👍\n"}],
        "c": [1, 2.5, None, True],
    }


def test_a_manifest_holds_nothing_that_airflow_cannot_store() -> None:
    assert Manifest(batch_ids=["b"], model="kimi\x00\ud800").to_dict()["model"] == "kimi\ufffd\ufffd"
