"""The form of a CSV file, checked while the DAG is parsed."""

from typing import Any

import pytest

from airflow_provider_kimi.files.csv_options import CsvOptions


def test_options_that_are_not_named_have_their_defaults() -> None:
    assert CsvOptions.of(None) == CsvOptions.of({}) == CsvOptions(",", bom=False, quoting="minimal", formula_guard=True)
    assert CsvOptions.of({"delimiter": "\t"}) == CsvOptions("\t")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"delimeter": ";"}, "csv_options has 'delimeter', which is no option; it may have delimiter, bom, quoting"),
        ({None: ";"}, "csv_options has None, which is no option"),
        ({"delimiter": ";;"}, r"csv_options\['delimiter'\] is ';;'; it must be one ASCII character"),
        ({"delimiter": '"'}, "it must be one ASCII character that is no letter, digit, quote or line break"),
        ({"delimiter": "a"}, "it must be one ASCII character"),
        ({"delimiter": "；"}, "it must be one ASCII character"),
        ({"delimiter": None}, "it must be one ASCII character"),
        ({"bom": "False"}, r"csv_options\['bom'\] is 'False'; it must be True or False"),
        ({"quoting": 1}, r"csv_options\['quoting'\] is 1; it must be one of 'minimal', 'all'"),
        ({"formula_guard": 0}, r"csv_options\['formula_guard'\] is 0; it must be True or False"),
        (";", "csv_options is ';'; it must be a dict, such as"),
    ],
)
def test_a_wrong_option_is_refused_in_plain_words(options: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CsvOptions.of(options)
