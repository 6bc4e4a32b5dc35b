"""Caches of the tests: their files as if they were old."""

from datetime import timedelta
from pathlib import Path

from airflow_provider_kimi.cache.segments import SegmentName


def make_older(place: Path, age: timedelta) -> None:
    """Rename every file of a cache as if it had been written so much earlier."""
    for path in list(place.iterdir()):
        if (segment := SegmentName.of(path.name)) is not None:
            path.rename(place / str(segment._replace(time=segment.time - age)))
