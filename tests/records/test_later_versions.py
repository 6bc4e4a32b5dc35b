"""What this version does with a record whose mark says that a later version has written it."""

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiError
from tests.records.test_samples import READERS, samples_of

#: Records that somebody else decides by, or that only save a search: they are read as far as they are known.
READ = {"manifest": "schema_version", "mark": "version", "progress": "version", "skipped_row": "version"}

#: Records that work which is paid for depends on.
REFUSED = {"trigger_arguments": "version", "event": "version", "pending": "version", "saved_header": "saved_version"}


def later(name: str, mark: str) -> tuple[Callable[[dict[str, Any]], Any], dict[str, Any]]:
    return READERS[name][0], {**samples_of(name)[-1], mark: 2}


@pytest.mark.parametrize(("name", "mark"), REFUSED.items())
def test_a_record_that_paid_work_depends_on_is_refused_with_what_to_do(name: str, mark: str) -> None:
    read, stored = later(name, mark)
    with pytest.raises(KimiError, match=r"version 2.*airflow-provider-kimi.*clear"):
        read(stored)


def test_a_chat_answer_of_a_later_version_is_refused_so_that_it_is_not_paid_again() -> None:
    stored, _ = samples_of("realtime_line")
    origin = {**stored["realtime"], "version": 2}
    with pytest.raises(KimiError, match=r"version 2.*airflow-provider-kimi.*clear"):
        READERS["realtime_line"][0]({**stored, "realtime": origin})


@pytest.mark.parametrize(("name", "mark"), READ.items())
def test_any_other_record_is_read_as_far_as_it_is_known(name: str, mark: str) -> None:
    read, stored = later(name, mark)
    assert read(stored) is not None


def test_a_job_note_of_a_later_version_is_searched_for_instead() -> None:
    read, stored = later("job_note", "version")
    assert read(stored) is None


def test_every_record_with_a_mark_of_its_version_has_a_rule() -> None:
    marks = {"version", "saved_version", "schema_version"}
    marked = {name for name in READERS if any(marks & stored.keys() for stored in samples_of(name))}
    assert marked <= {*READ, *REFUSED, "job_note"}
