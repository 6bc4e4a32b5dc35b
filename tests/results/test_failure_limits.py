"""Failures: how many unusable rows are too many."""

from typing import Any

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.results.failure_limits import breaches, read_limits, too_many_failed
from tests.support.samples import tally_of


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
def test_a_result_within_the_limits_is_accepted(counts: dict[str, int], limits: dict[str, Any]) -> None:
    assert breaches(read_limits(**limits), tally_of(**counts)) == []


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
            "100.00% unusable rows are more than max_failed_ratio=0.99. 2 rows: 2 failed.",
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
            "20.00% unusable rows are more than max_failed_ratio=0.1. 10 rows",
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
            "20.00% filtered rows are more than max_failed_ratio['filtered']=0.1. 10 rows",
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
            "1 unusable rows are more than max_failed_rows=0; 50.00% unusable rows are more than",
            id="both",
        ),
    ],
)
def test_a_result_beyond_a_limit_is_refused_with_the_reason(
    counts: dict[str, int], limits: dict[str, Any], fault: str
) -> None:
    """A landed result without answers is not green."""
    tally = tally_of(**counts)
    message = too_many_failed(breaches(read_limits(**limits), tally), tally, ["b1", "b2"])
    assert message.startswith(f"Too many rows failed: {fault}")
    assert "no batch is running" in message
    assert message.endswith("Batches: b1, b2.")


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"max_failed_rows": -1}, "max_failed_rows is -1; it must be a number of rows"),
        ({"max_failed_rows": "abc"}, "max_failed_rows is 'abc'; it must be a number of rows"),
        ({"max_failed_rows": ""}, "max_failed_rows is ''; it must be a number of rows"),
        ({"max_failed_rows": "True"}, "max_failed_rows is 'True'; it must be a number of rows"),
        ({"max_failed_rows": "{{ params.x }}"}, r"max_failed_rows is '{{ params.x }}'; it must be"),
        ({"max_failed_rows": float("nan")}, "max_failed_rows is nan; it must be a number of rows"),
        ({"max_failed_rows": "1e999"}, "max_failed_rows is '1e999'; it must be a number of rows"),
        ({"max_failed_rows": [5]}, r"max_failed_rows is \[5\]; it must be a number of rows"),
        (
            {"max_failed_rows": 0.05},
            "max_failed_rows is 0.05; it must be a number of rows, such as 5; for a share use max_failed_ratio. "
            "Nothing was landed; the results stay on the platform.",
        ),
        ({"max_failed_rows": {"missing": None}}, r"max_failed_rows\['missing'\] is None; it must be a number of rows"),
        ({"max_failed_rows": {"missing": "few"}}, r"max_failed_rows\['missing'\] is 'few'; it must be"),
        ({"max_failed_ratio": float("nan")}, "max_failed_ratio is nan; it must be a share"),
        ({"max_failed_ratio": True}, "max_failed_ratio is True; it must be a share"),
        ({"max_failed_ratio": 5}, "max_failed_ratio is 5; .* for 5 %; for a number of rows use max_failed_rows"),
        ({"max_failed_ratio": "5%"}, "max_failed_ratio is '5%'; it must be a share"),
        ({"max_failed_ratio": {"missing": "-0.1"}}, r"max_failed_ratio\['missing'\] is '-0.1'; it must be a share"),
        ({"max_failed_rows": True}, "max_failed_rows is True; it must be a number of rows"),
        ({"max_failed_rows": {"failed": -1}}, r"max_failed_rows\['failed'\] is -1"),
        ({"max_failed_ratio": 1.1}, "max_failed_ratio is 1.1; it must be a share from 0 to 1, such as 0.05 for 5 %"),
        (
            {"max_failed_ratio": {"errored": 0.1}},
            "the status in max_failed_ratio is 'errored'; it must be one of 'failed', 'invalid'",
        ),
        ({"max_failed_rows": {"succeeded": 1}}, "the status in max_failed_rows is 'succeeded'; it must be"),
    ],
    ids=str,
)
def test_a_value_that_is_not_a_limit_is_refused(limits: dict[str, Any], fault: str) -> None:
    with pytest.raises(KimiInputError, match=fault):
        read_limits(**limits)


@pytest.mark.parametrize(
    ("rendered", "meant"),
    [
        ({"max_failed_rows": "5"}, {"max_failed_rows": 5}),
        ({"max_failed_rows": " 5\n"}, {"max_failed_rows": 5}),
        ({"max_failed_rows": 5.0}, {"max_failed_rows": 5}),
        ({"max_failed_rows": "None"}, {}),
        ({"max_failed_rows": {"missing": "0"}}, {"max_failed_rows": {"missing": 0}}),
        ({"max_failed_rows": "{'missing': 0}"}, {"max_failed_rows": {"missing": 0}}),
        ({"max_failed_ratio": "0.05"}, {"max_failed_ratio": 0.05}),
        ({"max_failed_ratio": '{"missing": 1}'}, {"max_failed_ratio": {"missing": 1}}),
    ],
    ids=str,
)
def test_the_text_of_a_rendered_template_is_the_limit_that_it_says(
    rendered: dict[str, Any], meant: dict[str, Any]
) -> None:
    assert read_limits(**rendered) == read_limits(**meant)
