"""What the page shows of a result, whatever somebody has made of its manifest."""

from typing import Any

import pytest

from airflow_provider_kimi.ui.result_view import manifest_of, moment, result_of
from tests.ui.database import manifest


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
