"""An alias becomes an asset that Airflow takes, wherever the result lies, and whatever is refused fails no task."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("airflow.sdk.execution_time", reason="Airflow 2 answers from its database")

from airflow.models.asset import AssetModel
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_kimi.compat import alias_extra
from airflow_provider_kimi.outlets import asset_uri, report_to_outlets
from airflow_provider_kimi.records.manifest import Manifest
from tests.support.logs import LogRecord

ALIAS = AssetAlias("label_files")


def manifest_of(location: str) -> Manifest:
    return Manifest(batch_ids=["batch_1"], counts={"total": 1}, results_file=location)


def reported(location: str, *outlets: Any) -> tuple[OutletEventAccessors, LogRecord]:
    events, log = OutletEventAccessors(), LogRecord()
    report_to_outlets(outlets or [ALIAS], {"outlet_events": events}, manifest_of(location), log)
    return events, log


@pytest.mark.parametrize(
    ("location", "uri"),
    [
        ("file:///data/标签/results.jsonl", "file:///data/%E6%A0%87%E7%AD%BE/results.jsonl"),
        ("s3://aws_default@bucket/day=2026-01-01/results.jsonl", "s3://bucket/day=2026-01-01/results.jsonl"),
        ("s3://bucket/results.jsonl", "s3://bucket/results.jsonl"),
        ("file:///data/a b/results.jsonl", "file:///data/a%20b/results.jsonl"),
        ("file:///data/a%20b/results.jsonl", "file:///data/a%2520b/results.jsonl"),
        ("file:///data/a#b?c=1&d/results.jsonl", "file:///data/a%23b%3Fc=1&d/results.jsonl"),
        ("file:///data/me@home/C:\\x/results.jsonl", "file:///data/me@home/C:%5Cx/results.jsonl"),
        ("gs://b/a\nb\x00[1]/results.csv", "gs://b/a%0Ab%00%5B1%5D/results.csv"),
        ("file:///data/👍/results.parquet", "file:///data/%F0%9F%91%8D/results.parquet"),
    ],
)
def test_an_alias_becomes_an_asset_that_airflow_takes_unchanged(location: str, uri: str) -> None:
    events, log = reported(location)
    (event,) = events[ALIAS].asset_alias_events
    assert (event.dest_asset_key.name, event.dest_asset_key.uri) == (uri, uri)
    assert AssetModel(name=event.dest_asset_key.name, uri=event.dest_asset_key.uri).uri == uri
    assert unquote(urlsplit(uri).path) == "/" + location.partition("://")[2].partition("/")[2]
    assert event.extra == alias_extra(manifest_of(location).to_event())
    assert not log.warnings


def test_no_two_files_share_one_uri() -> None:
    names = ["a b", "a%20b", "a%2520b", "a+b", "a?b", "a%3Fb", "a#b", "ab", "评", "%E8%AF%84", "a;b", "A B"]
    assert len({asset_uri(f"s3://c@bucket/{name}") for name in names}) == len(names)


def test_a_uri_too_long_for_an_asset_is_shortened_and_stays_one_of_its_own() -> None:
    found = set()
    for end in ("一", "二"):
        events, log = reported(f"file:///{'很长' * 200}/{end}/results.jsonl")
        (event,) = events[ALIAS].asset_alias_events
        assert len(event.dest_asset_key.uri) == 1500
        assert (
            "The URI of the results file is longer than an asset may be, which is 1,500 characters." in log.warnings[0]
        )
        assert event.dest_asset_key.uri in log.warnings[0]
        found.add(event.dest_asset_key.uri)
    assert len(found) == 2


@pytest.mark.parametrize("location", ["s3:///no/bucket.jsonl", "airflow://x/results.jsonl", "file:///\ud800"])
def test_an_asset_that_airflow_refuses_is_left_out_with_a_warning(location: str) -> None:
    events, log = reported(location, ALIAS, Asset("labels"))
    assert not events[ALIAS].asset_alias_events
    assert events[Asset("labels")].extra["status"] == "failed"
    assert "The result is landed. AssetAlias(name='label_files'" in log.warnings[0]
    assert "gets no event of it, because Airflow refuses the asset (" in log.warnings[0]


def test_a_reference_that_airflow_cannot_resolve_is_left_out_with_a_warning() -> None:
    class Unknown(OutletEventAccessors):
        def _resolve_asset_ref(self, ref: Any) -> Any:
            raise RuntimeError("no such asset")

    log = LogRecord()
    report_to_outlets([Asset.ref(name="x")], {"outlet_events": Unknown()}, manifest_of("file:///x"), log)
    assert "(RuntimeError: no such asset)" in log.warnings[0]


def test_an_outlet_that_is_no_asset_is_left_alone() -> None:
    _, log = reported("file:///x", "a table", Path("x"))
    assert not log.warnings
