"""The table of changed labels, and how it is cut to fit."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.results.comparable import Change
from airflow_provider_kimi.results.failures import MAX_BYTES
from airflow_provider_kimi.results.label_changes import LabelChanges, fitted, table

COST = {"currency": "CNY", "amount": 0.5, "price_list_date": "2026-09-01"}


def report(changes: LabelChanges, **others: Any) -> dict[str, Any]:
    return {
        **{"rows": 100, "whole_rows": 20_000, "compared": changes.rows, "changed": changes.changed},
        **{"not_compared": dict(changes.unlike), "changes": changes.listed, "compared_with": "/data/out"},
        **{"cost": COST, "whole_cost": {**COST, "amount": 100.0}, **others},
    }


def counted(*rows: tuple[str, list[Change]]) -> LabelChanges:
    found = LabelChanges()
    for custom_id, changes in rows:
        found.add(custom_id, iter(changes))
    return found


def test_the_most_common_change_comes_first_with_the_first_rows_of_it() -> None:
    worse, better = Change("", "good", "bad"), Change("", "bad", "good")
    found = counted(("a", [better]), ("b", []), *((f"r{number}", [worse]) for number in range(9)))
    assert (found.rows, found.changed) == (11, 10)
    assert found.listed == [
        {"from": "good", "to": "bad", "count": 9, "sample": ["r0", "r1", "r2", "r3", "r4"]},
        {"from": "bad", "to": "good", "count": 1, "sample": ["a"]},
    ]


def test_a_row_whose_fields_change_counts_once_and_each_field_is_listed() -> None:
    found = counted(("a", [Change("label", "good", "bad"), Change("why", None, None)]))
    assert found.changed == 1
    assert [change["field"] for change in found.listed] == ["label", "why"]


def test_labels_that_are_equal_as_numbers_are_listed_apart() -> None:
    found = counted(("a", [Change("", 1, 2)]), ("b", [Change("", True, 2)]))
    assert [(type(change["from"]), change["count"]) for change in found.listed] == [(int, 1), (bool, 1)]


def test_the_table_says_the_numbers_and_each_change_in_a_line() -> None:
    found = counted(
        *((f"r{number}", [Change("", "good", "bad")]) for number in range(12)), ("x", [Change("", None, 1)])
    )
    found.unlike["no_answer_now"] = 3
    assert table(report(found)).splitlines() == [
        "Preview: 100 of 20,000 rows were asked for 0.5000 CNY; all would cost about 100.0000. 13 of the 13 that could "
        "be compared with /data/out have another answer (not compared: 3 no answer now).",
        '  12  "good" -> "bad"  r0, r1, r2, r3, r4',
        "   1  (no label) -> 1  x",
    ]


def test_the_table_says_so_where_there_is_no_price_and_nothing_to_compare_with() -> None:
    said = table(report(LabelChanges(), compared_with=None, whole_cost=None))
    assert said == (
        "Preview: 100 of 20,000 rows were asked, at a price that is not known. There is no earlier result to compare "
        "them with."
    )


@given(
    st.lists(st.tuples(st.text(max_size=90), st.text(max_size=90), st.text(max_size=300)), max_size=300),
    st.integers(1, 40),
)
def test_a_report_fits_an_xcom_however_many_labels_there_are(found: list[tuple[str, str, str]], rows: int) -> None:
    changes = counted(*((f"{name}{at}", [Change("", a, b)]) for a, b, name in found for at in range(rows)))
    whole = report(changes)
    cut = fitted(whole)
    assert len(json.dumps(cut)) <= MAX_BYTES
    assert len(cut["changes"]) + cut.get("changes_cut", 0) == len(whole["changes"])
    json.dumps(cut).encode()
    assert len(table(cut).splitlines()) >= 1
