"""The earlier result is found and read as it is at one moment."""

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.earlier import find_earlier


def stored(folder: Path) -> Manifest:
    """Write a result of one row, whose manifest names the place that it was landed in."""
    manifest = Manifest(batch_ids=["batch_1"], counts={"total": 1}, results_file="file:///elsewhere/results.jsonl")
    folder.mkdir()
    (folder / "manifest.json").write_bytes(manifest.to_json())
    (folder / "results.jsonl").write_bytes(b"{}\n")
    return manifest


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/manifest.json", "file://{}", "file://{}/manifest.json"])
def test_it_is_known_whether_the_new_result_takes_its_place(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "a"
    manifest = stored(folder)
    found = find_earlier(form.format(folder), f"{tmp_path}/b/../a")
    assert (found.manifest, found.is_output) == (manifest, True)
    assert not find_earlier(form.format(folder), f"{tmp_path}/b").is_output


def test_files_are_those_beside_the_manifest_wherever_it_was_landed(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    files = find_earlier(str(tmp_path / "a"), "/b").fetch(tmp_path / "copies")
    assert files.results is not None
    assert files.results.read_bytes() == b"{}\n"
    assert (files.output, files.error, files.dead_letters) == (None, None, None)


def test_a_result_that_is_replaced_while_it_is_read_is_read_again_later(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    found = find_earlier(str(tmp_path / "a"), "/b")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"batch_1", b"batch_2"))
    with pytest.raises(KimiBatchError, match="was replaced while it was read") as caught:
        found.fetch(tmp_path / "copies")
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere://bucket/a", "cannot be read"),
        ("", "must be the URI of a directory"),
        (5, "must be the URI of a directory"),
        ({"batch_ids": ["a"]}, "names no files"),
        ("{'results_file': None}", "names no files"),
        ("/dev/null", "holds no result"),
    ],
)
def test_what_names_no_result_is_refused_with_what_to_do(given: Any, message: str) -> None:
    with pytest.raises(KimiInputError, match=message) as caught:
        find_earlier(given, "/b")
    assert "Nothing was changed or landed; the results stay on the platform." in str(caught.value)
