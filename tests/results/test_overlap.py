"""An output in which a landing would be read as rows by the next run is in the way of the input."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import location_of
from airflow_provider_kimi.requests.sources import find_files
from airflow_provider_kimi.results.overlap import overlap

NAMES = ("output.jsonl", "results.jsonl")
FOLDERS = st.lists(st.sampled_from(["a", "b"]), max_size=3).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "**", "[ab]"]), max_size=3).flatmap(
    lambda folders: st.sampled_from(["*.jsonl", "results.jsonl", "*", "**", "*.csv"]).map(
        lambda n: "/".join([*folders, n])
    )
)


@given(output=FOLDERS, pattern=PATTERNS)
def test_no_pattern_finds_what_is_landed_in_an_output_that_is_accepted(output: str, pattern: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / output
        folder.mkdir(parents=True, exist_ok=True)
        for landed in NAMES:
            (folder / landed).write_text('{"text": "x"}\n')
        uri = f"{name}/{pattern}"
        found = overlap(location_of(uri), location_of(str(folder)), NAMES)
        try:
            paths = [Path(file.uri.removeprefix("file://")) for file in find_files(uri)]
            read = {path.name for path in paths if path.exists()}
        except KimiInputError:
            read = set()
    assert not (read & set(NAMES)) or found


def test_places_on_different_storages_are_apart() -> None:
    assert not overlap(location_of("s3://one/x/a.jsonl"), location_of("s3://two/x"), NAMES)
    assert overlap(location_of("s3://conn@one/x/a.jsonl"), location_of("s3://one/x/"), NAMES) == "holds the input"
