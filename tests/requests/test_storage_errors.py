"""Which errors of the storage no retry can fix, and how much of an input a message repeats."""

from pathlib import Path

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import LASTING_FAULTS
from airflow_provider_kimi.requests.inputs import Input

LONG = "s3://bucket/" + "x" * 188


def test_an_error_of_the_storage_lasts_only_if_no_retry_can_fix_it() -> None:
    lasting = {NotADirectoryError, IsADirectoryError, PermissionError, ValueError, ImportError}
    assert set(LASTING_FAULTS) == lasting
    assert not issubclass(ConnectionError, LASTING_FAULTS)
    assert not issubclass(TimeoutError, LASTING_FAULTS)
    assert not issubclass(OSError, LASTING_FAULTS)


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv"])
def test_an_error_of_the_storage_that_lasts_is_a_problem_of_the_input(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KimiInputError, match=r"cannot be opened \(NotADirectoryError") as caught:
        list(Input(str(tmp_path / "file" / name)))
    assert "Nothing was sent." in str(caught.value)


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv"])
def test_any_other_error_of_the_storage_is_left_to_retries(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(name)
    with pytest.raises(OSError, match="symbolic links") as caught:
        list(Input(str(tmp_path / name)))
    assert not isinstance(caught.value, (KimiInputError, *LASTING_FAULTS))


def test_a_message_shows_the_first_200_characters_of_a_long_uri() -> None:
    assert len(LONG) == 200
    assert str(Input(LONG)) == str(Input(LONG + "TOP SECRET")) == f"Input '{LONG}'"


@pytest.mark.parametrize(
    ("end", "ready"),
    [pytest.param("TOP SECRET", False, id="another kind"), pytest.param("TOP SECRET.csv", True, id="a table")],
)
def test_a_message_about_an_unknown_kind_of_file_cuts_a_long_uri(end: str, ready: bool) -> None:
    uri = "/absent" + "/x" * 120 + end
    with pytest.raises(KimiInputError) as caught:
        list(Input(uri, ready=ready))
    assert str(caught.value).startswith(f"Input {uri[:200]!r} ")
    assert "TOP SECRET" not in str(caught.value)


def test_a_message_about_a_missing_file_cuts_a_long_uri() -> None:
    uri = "/absent" + "/x" * 120 + "/TOP SECRET.jsonl"
    with pytest.raises(KimiInputError) as caught:
        list(Input(uri, ready=True))
    assert str(caught.value).startswith(f"Input {uri[:200]!r} does not exist. Nothing was sent.")
    assert "TOP SECRET" not in str(caught.value)


def test_a_single_prompt_given_as_text_is_refused_with_the_advice_to_give_a_list() -> None:
    with pytest.raises(KimiInputError, match="a single prompt is given as a list"):
        list(Input("Which colour is the sky?"))
