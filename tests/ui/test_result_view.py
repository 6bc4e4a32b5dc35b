"""What is shown of a result, and the conf that asks its dead letters again, whatever somebody has made of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.ui.result_view import failures_view, manifest_of, moment, replay_conf, result_of
from tests.ui.database import manifest

OUT = "s3://aws_default@bucket/labels/manual__1"

STORED: dict[str, Any] = Manifest(
    batch_ids=["batch_1"],
    status="partial",
    counts={"total": 5, "succeeded": 2, "failed": 2, "filtered": 1},
    results_file=f"{OUT}/results.csv",
    dead_letter_file=f"{OUT}/dead_letter.jsonl",
).to_dict()

FAILURES = [
    {"status": "failed", "reason": "server_error", "count": 2, "sample": ["r1", "r2"]},
    {"status": "filtered", "reason": "content_filter", "count": 1, "sample": ["r3"]},
]

LANDED = {**STORED, "failures": FAILURES}


def read(stored: Mapping[str, Any]) -> Manifest:
    manifest = manifest_of(stored)
    assert manifest is not None
    return manifest


def placed(directory: str, **changes: Any) -> dict[str, Any]:
    files = {"results_file": f"{directory}/results.csv", "dead_letter_file": f"{directory}/dead_letter.jsonl"}
    return {**LANDED, **files, **changes}


def test_what_failed_is_shown_by_reason() -> None:
    assert failures_view(read(LANDED)) == FAILURES


def test_of_a_result_of_an_earlier_version_only_statuses_are_shown() -> None:
    assert failures_view(read(STORED)) == [
        {"status": "failed", "reason": "other", "count": 2, "sample": []},
        {"status": "filtered", "reason": "other", "count": 1, "sample": []},
    ]


def test_a_result_without_failures_shows_none() -> None:
    counts = {"total": 2, "succeeded": 2}
    assert failures_view(read({**STORED, "counts": counts, "dead_letter_file": None})) == []


def test_the_conf_asks_the_dead_letters_again_and_merges_them_into_their_result_over_its_connection() -> None:
    assert replay_conf(read(LANDED), "kimi_team") == {
        "dead_letters": f"{OUT}/dead_letter.jsonl",
        "merge_with": OUT,
        "output": f"{OUT}/replay",
        "output_format": "csv",
        "kimi_conn_id": "kimi_team",
    }
    assert replay_conf(read(STORED)) == replay_conf(read(LANDED)), "an earlier version has no failures"


def test_the_conf_has_only_fields_of_the_form_of_the_replay() -> None:
    source = Path("example_dags/example_kimi_replay.py").read_text(encoding="utf-8")
    assert [name for name in replay_conf(read(LANDED), "kimi_team") or () if f'"{name}": Param(' not in source] == []


@pytest.mark.parametrize(
    "directory", ["file:///data/标签 1/{{ ds }}", "gs://bucket", "s3://a:b/x", "s3://c@arn:aws:s3:x/y"]
)
def test_a_result_on_any_storage_has_a_conf(directory: str) -> None:
    conf = replay_conf(read(placed(directory)))
    assert conf is not None
    assert conf["merge_with"] == directory


@pytest.mark.parametrize(
    "manifest",
    [
        {**LANDED, "dead_letter_file": None},
        {**LANDED, "failures": [{"status": "invalid", "reason": "not_sent", "count": 3}]},
        {**LANDED, "failures": [{"status": "missing", "reason": "not_asked", "count": 3, "sample": ["a"]}]},
    ],
    ids=["no file", "never sent", "never asked"],
)
def test_without_dead_letters_that_can_be_asked_there_is_no_conf(manifest: Mapping[str, Any]) -> None:
    assert replay_conf(read(manifest)) is None


@pytest.mark.parametrize(
    "edit",
    [
        {"dead_letter_file": "file:///etc/passwd"},
        {"dead_letter_file": "s3://other/labels/dead_letter.jsonl"},
        {"results_file": f"{OUT}/other.csv"},
        {"results_file": f"{OUT}/results.exe"},
        {"results_file": None},
        placed("s3://KEY:SECRET@bucket/labels"),
        placed("file:///data/../../etc"),
        placed("file:///data/\u202egpj"),
        placed("file:///data/a\nb"),
        placed("file:///" + "x" * 2000),
        placed("labels"),
        placed(""),
    ],
    ids=lambda edit: repr(edit)[:60],
)
def test_a_manifest_that_names_odd_places_has_no_conf(edit: Mapping[str, Any]) -> None:
    assert replay_conf(read({**LANDED, **edit})) is None


ODD: list[dict[str, Any]] = [
    {**LANDED, "failures": "all of them"},
    {**LANDED, "failures": [{"status": "failed"}]},
    {**LANDED, "failures": None},
    {**STORED, "counts": {"failed": -3, "filtered": 1 << 62, "total": 1}},
    {**LANDED, "failures": [{**FAILURES[0], "count": count} for count in (-1, 1 << 62)]},
    {
        **LANDED,
        "failures": [{**FAILURES[0], "sample": ["<script>alert(1)</script>" * 999, "a\x00b", "评" * 10_240] * 99}],
    },
    {
        **LANDED,
        "failures": [{**FAILURES[0], "status": "s" * 9999, "reason": "<img src=x onerror=alert(1)>" * 99}] * 999,
    },
]


@pytest.mark.parametrize("manifest", ODD, ids=range(len(ODD)))
def test_whatever_a_manifest_holds_the_view_is_short_plain_json(manifest: Mapping[str, Any]) -> None:
    result = result_of(read(manifest))
    text = json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    assert len(text) < 14_000
    view = result["failures"]
    assert len(view) <= 11
    for failure in view:
        assert failure.keys() == {"status", "reason", "count", "sample"}
        assert 0 <= failure["count"] < 1 << 53
        texts = [failure["status"], failure["reason"], *failure["sample"]]
        assert all(isinstance(one, str) and len(one) <= 64 for one in texts)
        assert len(failure["sample"]) <= 3


def test_a_manifest_that_is_nested_deeply_is_shown() -> None:
    cost: Any = {}
    for _ in range(800):
        cost = {"amount": cost}
    read = manifest_of(manifest("batch_1") | {"cost": cost})
    assert read is not None
    shown = result_of(read)
    assert shown["cost"] == {"amount": None, "currency": None}
    assert shown["failures"], "the rest of it is shown"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("2026-11-30T10:00:00+00:00", "2026-11-30T10:00:00+00:00"),
        ("2026-11-30T10:00:00+05:30:15", "2026-11-30T04:29:45+00:00"),
        ("2026-11-30", "2026-11-30T00:00:00+00:00"),
        ("0001-01-01T00:00:00+23:00", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_one_that_any_browser_can_read(stored: str | None, shown: str | None) -> None:
    assert moment(stored) == shown
