"""What a task wants is refused before anything is read."""

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.order import check_window


@pytest.mark.parametrize("window", ["12h", "24h", "168h", "1d", "3d", "7d"])
def test_a_window_within_the_limits_is_accepted(window: str) -> None:
    check_window(window)


@pytest.mark.parametrize(
    "window",
    ["11h", "169h", "8d", "0d", "0h", "-1d", "24", "h", "24H", "24 h", " 24h", "24h\n", "1.5d", "012h", "", None, 24]
    + ["\uff12\uff14h", "2\uff14h", "\uff13d"],
)
def test_another_window_is_refused(window: str) -> None:
    with pytest.raises(KimiInputError, match="Kimi accepts 12h to 168h"):
        check_window(window)


@pytest.mark.parametrize("digits", [5, 5000])
def test_a_window_of_many_digits_is_refused_like_any_other(digits: int) -> None:
    with pytest.raises(KimiInputError, match="Kimi accepts 12h to 168h"):
        check_window("9" * digits + "h")
