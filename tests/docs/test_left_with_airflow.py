"""The page about what does not work shows the messages about assets and locations as they are."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import check_directory_name, check_location
from airflow_provider_kimi.outlets import report_to_outlets
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.tags import check_metadata
from airflow_provider_kimi.results.output_directory import NOT_LANDED
from tests.support.documents import ROOT
from tests.support.logs import LogRecord

PAGE = (ROOT / "docs" / "when-it-does-not-work.md").read_text(encoding="utf-8")

#: Its quotations, each on one line.
SHOWN = [
    " ".join(re.sub(r"^> ?", "", block, flags=re.MULTILINE).split()) for block in re.findall(r"(?:^>.*\n)+", PAGE, re.M)
]


def warned(location: str) -> str:
    log = LogRecord()
    manifest = Manifest(batch_ids=["batch_1"], results_file=location)
    context: Any = {"outlet_events": OutletEventAccessors()}
    report_to_outlets([AssetAlias("label_files")], context, manifest, log)
    return log.warnings[0]


def test_the_page_shows_what_becomes_of_an_asset_that_airflow_refuses() -> None:
    assert warned("s3:///labels/results.jsonl") in SHOWN


def test_the_page_shows_what_becomes_of_an_asset_that_is_too_long() -> None:
    message = warned(f"file:///data/{'a' * 1500}/results.jsonl")
    assert f"{message[: message.index('file:///data/')]}file:///data/..." in SHOWN


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: check_location("output", "s3://KEY:SECRET@bucket/labels"),
        lambda: check_directory_name("output", "/data/labels\n/2026-01-01", NOT_LANDED),
        lambda: check_metadata({"team": "\0"}, {}),
    ],
    ids=["password", "line break", "metadata"],
)
def test_the_page_shows_what_is_refused_of_a_location(refuse: Callable[[], None]) -> None:
    with pytest.raises(KimiInputError) as caught:
        refuse()
    assert str(caught.value).replace("landed; the results stay on the platform", "sent") in SHOWN
