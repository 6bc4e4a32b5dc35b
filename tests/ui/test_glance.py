"""One read for all who look."""

import pytest

from airflow_provider_kimi.ui.glance import Glance


async def test_a_read_that_fails_in_an_unforeseen_way_is_not_repeated_for_each_viewer() -> None:
    now, reads = 100.0, 0

    async def read() -> None:
        nonlocal reads
        reads += 1
        raise ZeroDivisionError

    glance = Glance(read, lambda: 10.0, lambda: now)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await glance.look()
    assert reads == 1
    now += 10
    with pytest.raises(ZeroDivisionError):
        await glance.look()
    assert reads == 2
