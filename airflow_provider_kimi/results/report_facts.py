"""What a report of a result is made from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_kimi.api.models import Batch
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.results.tally import Tally


class ReportRow(NamedTuple):
    """A row of the results: its columns of the input, and our own."""

    custom_id: str
    of_input: Mapping[str, Any]
    own: Mapping[str, Any]


@dataclass(frozen=True)
class ReportFacts:
    """A result that is about to be landed.

    :param manifest: Before its files have places.
    :param location: Its directory, as any program takes it.
    :param files: The names of its files there.
    :param rows: Reads its rows.
    """

    manifest: Manifest
    tally: Tally
    batches: Sequence[Batch]
    location: str
    files: Sequence[str]
    rows: Callable[[], Iterator[ReportRow]]


#: Writes the content of the page.
Report = Callable[[ReportFacts], bytes]
