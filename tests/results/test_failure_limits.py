"""Failures: how many unusable rows are too many."""

from typing import Any

import pytest

from airflow_provider_kimi.results.failure_limits import FailureLimits, too_many_failed
from tests.support.samples import tally_of


def limits_of(max_failed_rows: Any = None, max_failed_ratio: Any = None) -> FailureLimits:
    return FailureLimits(max_failed_rows, max_failed_ratio)


class TestTooManyUnusableRowsAreRefused:
    @pytest.mark.parametrize(
        ("counts", "limits"),
        [
            pytest.param({"succeeded": 1}, {}, id="no limit"),
            pytest.param({"succeeded": 1, "failed": 99}, {}, id="no limit, and nearly all failed"),
            pytest.param({"succeeded": 1, "failed": 2}, {"max_failed_rows": 2}, id="as many rows as accepted"),
            pytest.param({"succeeded": 1}, {"max_failed_rows": 0}, id="none accepted, none failed"),
            pytest.param({"succeeded": 9, "missing": 1}, {"max_failed_ratio": 0.1}, id="just the ratio"),
            pytest.param({"succeeded": 1, "failed": 3}, {"max_failed_ratio": 1.0}, id="any ratio"),
            pytest.param({"succeeded": 1}, {"max_failed_ratio": 0.0}, id="ratio zero, none failed"),
            pytest.param({"failed": 2}, {"max_failed_rows": 2}, id="all, and as many accepted"),
            pytest.param({"failed": 2}, {"max_failed_ratio": 1.0}, id="all, and any ratio accepted"),
            pytest.param({}, {"max_failed_rows": 0}, id="no rows, and none accepted to fail"),
            pytest.param({}, {"max_failed_ratio": 1.0}, id="no rows, and any ratio accepted"),
            pytest.param(
                {"succeeded": 1, "invalid": 2, "missing": 9}, {"max_failed_rows": {"invalid": 2}}, id="a status named"
            ),
            pytest.param({"succeeded": 9, "filtered": 1}, {"max_failed_ratio": {"filtered": 0.1}}, id="its share"),
        ],
    )
    def test_within_the_limits(self, counts: dict[str, int], limits: dict[str, Any]) -> None:
        assert limits_of(**limits).exceeded(tally_of(**counts)) == []

    @pytest.mark.parametrize(
        ("counts", "limits", "fault"),
        [
            pytest.param({"failed": 2}, {}, "no row has a usable answer. 2 rows: 2 failed.", id="all failed"),
            pytest.param({}, {}, "no row has a usable answer. 0 rows: .", id="no rows"),
            pytest.param(
                {"failed": 2},
                {"max_failed_rows": 1},
                "2 unusable rows are more than max_failed_rows=1. 2 rows: 2 failed.",
                id="all, and fewer accepted",
            ),
            pytest.param(
                {"failed": 2},
                {"max_failed_ratio": 0.99},
                "a share of 100.00% unusable rows is more than max_failed_ratio=0.99. 2 rows: 2 failed.",
                id="all, and not quite all accepted",
            ),
            pytest.param(
                {"succeeded": 9, "failed": 1},
                {"max_failed_rows": 0},
                "1 unusable rows are more than max_failed_rows=0. 10 rows: 9 succeeded, 1 failed.",
                id="one row too many",
            ),
            pytest.param(
                {"succeeded": 8, "invalid": 2},
                {"max_failed_ratio": 0.1},
                "a share of 20.00% unusable rows is more than max_failed_ratio=0.1. 10 rows",
                id="ratio",
            ),
            pytest.param(
                {"succeeded": 1, "invalid": 2, "missing": 1},
                {"max_failed_rows": {"invalid": 2, "missing": 0}},
                "1 missing rows are more than max_failed_rows['missing']=0. 4 rows",
                id="one status of two",
            ),
            pytest.param(
                {"succeeded": 8, "filtered": 2},
                {"max_failed_ratio": {"filtered": 0.1}},
                "a share of 20.00% filtered rows is more than max_failed_ratio['filtered']=0.1. 10 rows",
                id="the share of a status",
            ),
            pytest.param(
                {"missing": 2},
                {"max_failed_rows": {"invalid": 2}},
                "no row has a usable answer. 2 rows: 2 missing.",
                id="all failed, as no limit foresaw",
            ),
            pytest.param(
                {"succeeded": 1, "truncated": 1},
                {"max_failed_rows": 0, "max_failed_ratio": 0.25},
                "1 unusable rows are more than max_failed_rows=0 and a share of 50.00% unusable rows",
                id="both",
            ),
        ],
    )
    def test_beyond_them(self, counts: dict[str, int], limits: dict[str, Any], fault: str) -> None:
        """T19: a landed result without answers is not green."""
        tally = tally_of(**counts)
        message = too_many_failed(limits_of(**limits).exceeded(tally), tally, ["b1", "b2"])
        assert message.startswith(f"Batches b1, b2 ended, but {fault}")
        assert "nothing runs any more" in message

    @pytest.mark.parametrize(
        ("limits", "fault"),
        [
            ({"max_failed_rows": -1}, "max_failed_rows is -1; it is a number of rows"),
            ({"max_failed_rows": {"failed": -1}}, r"max_failed_rows\['failed'\] is -1"),
            ({"max_failed_ratio": 1.1}, "max_failed_ratio is 1.1; it is a share between 0 and 1"),
            ({"max_failed_ratio": {"errored": 0.1}}, "names the status 'errored'; it may name failed, invalid"),
            ({"max_failed_rows": {"succeeded": 1}}, "names the status 'succeeded'"),
        ],
    )
    def test_a_limit_that_is_none_is_refused(self, limits: dict[str, Any], fault: str) -> None:
        with pytest.raises(ValueError, match=fault):
            limits_of(**limits)
