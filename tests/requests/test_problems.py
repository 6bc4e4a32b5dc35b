"""What is wrong with an input is reported together, and no more of it than a person reads."""

import pytest

from airflow_provider_kimi.requests.problems import MAX_REPORTED_PROBLEMS, Problems, RowProblem, listed


def reported(*found: RowProblem) -> str:
    """What is said of problems that were met in rows 1, 2, ..."""
    problems = Problems()
    for number, problem in enumerate(found, 1):
        problems.note(f"row {number}", problem)
    assert problems.count == len(found)
    return problems.describe()


def test_a_problem_is_reported_with_its_place() -> None:
    assert reported(RowProblem("is blank")) == "1 problem: row 1 is blank"


def test_problems_are_reported_in_the_order_of_the_input() -> None:
    assert reported(RowProblem("is blank"), RowProblem("is odd")) == "2 problems: row 1 is blank; row 2 is odd"


def test_a_problem_is_reported_with_the_custom_id_if_it_is_known() -> None:
    assert reported(RowProblem("is odd", "a")) == "1 problem: row 1 (custom_id 'a') is odd"


@pytest.mark.parametrize("custom_id", [None, ""])
def test_a_problem_is_reported_without_a_custom_id_if_none_is_known(custom_id: str | None) -> None:
    assert reported(RowProblem("is odd", custom_id)) == "1 problem: row 1 is odd"


def test_a_long_custom_id_is_cut() -> None:
    assert reported(RowProblem("is odd", "x" * 100)) == f"1 problem: row 1 (custom_id '{'x' * 80}') is odd"


@pytest.mark.parametrize(
    ("count", "beginning", "ending"),
    [
        pytest.param(MAX_REPORTED_PROBLEMS, "20 problems", "row 20 is wrong 20", id="as many as are reported"),
        pytest.param(MAX_REPORTED_PROBLEMS + 1, "21 problems", "row 20 is wrong 20; and 1 more", id="one more"),
        pytest.param(5000, "5,000 problems", "row 20 is wrong 20; and 4,980 more", id="many"),
    ],
)
def test_twenty_problems_are_reported_and_the_rest_are_counted(count: int, beginning: str, ending: str) -> None:
    message = reported(*(RowProblem(f"is wrong {number}") for number in range(1, count + 1)))
    assert message.startswith(f"{beginning}: row 1 is wrong 1; ")
    assert message.endswith(ending)


@pytest.mark.parametrize("names", [None, "a"])
def test_problems_that_differ_only_in_their_row_are_reported_once(names: str | None) -> None:
    """One wrong word in a prompt is one problem to a reader, however many rows it affects."""
    problems = [RowProblem("has no column 'txet'", names and f"{names}{n}") for n in range(1001)]
    named = " (custom_id 'a0')" if names else ""
    assert reported(*problems) == f"1,001 problems: row 1{named} has no column 'txet' (1,000 more alike)"


def test_problems_of_a_known_kind_are_counted_after_the_twentieth_too() -> None:
    different = [RowProblem(f"is wrong {number}") for number in range(MAX_REPORTED_PROBLEMS)]
    message = reported(*different, RowProblem("is new"), RowProblem("is wrong 0"))
    assert message.startswith("22 problems: row 1 is wrong 0 (1 more alike); row 2 is wrong 1; ")
    assert message.endswith("; and 1 more")


def test_a_problem_is_its_own_text() -> None:
    problem = RowProblem("is odd", "a")
    assert (str(problem), problem.detail, problem.custom_id) == ("is odd", "is odd", "a")


@pytest.mark.parametrize(
    ("width", "most", "names"),
    [
        pytest.param(0, 8, "", id="none"),
        pytest.param(1, 8, "'c0'", id="one"),
        pytest.param(2, 2, "'c0', 'c1'", id="as many as are reported"),
        pytest.param(3, 2, "'c0', 'c1' and 1 more", id="one more"),
    ],
)
def test_columns_are_listed_by_name_up_to_a_few(width: int, most: int, names: str) -> None:
    assert listed({f"c{number}": "TOP SECRET" for number in range(width)}, most) == names


def test_a_single_column_that_holds_another_separator_is_named_as_such() -> None:
    assert listed({"id;text": 1}) == "only 'id;text': columns are separated by commas, not by ';'"
    assert listed({"text": 1}) == "'text'"


def test_a_long_name_of_a_column_is_cut() -> None:
    assert listed({"x" * 5000: 1}) == repr("x" * 60)
