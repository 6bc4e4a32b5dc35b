"""Which faults of the storage are the user's to mend, and how much of an input a message repeats."""

from pathlib import Path

import pytest

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import LASTING_FAULTS
from airflow_provider_kimi.requests.inputs import Input

LONG = "s3://bucket/" + "x" * 188


class TestAFaultOfTheStorage:
    def test_lasts_only_if_no_retry_heals_it(self) -> None:
        lasting = {NotADirectoryError, IsADirectoryError, PermissionError, ValueError, ImportError}
        assert set(LASTING_FAULTS) == lasting
        assert not issubclass(ConnectionError, LASTING_FAULTS)
        assert not issubclass(TimeoutError, LASTING_FAULTS)
        assert not issubclass(OSError, LASTING_FAULTS)

    @pytest.mark.parametrize("name", ["in.jsonl", "in.csv"])
    def test_that_lasts_is_the_inputs(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(KimiInputError, match=r"cannot be opened \(NotADirectoryError") as caught:
            list(Input(str(tmp_path / "file" / name)))
        assert "Nothing was sent." in str(caught.value)

    @pytest.mark.parametrize("name", ["in.jsonl", "in.csv"])
    def test_of_any_other_kind_is_left_to_retries(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).symlink_to(name)
        with pytest.raises(OSError, match="symbolic links") as caught:
            list(Input(str(tmp_path / name)))
        assert not isinstance(caught.value, (KimiInputError, *LASTING_FAULTS))


class TestALongInputIsCutInMessages:
    def test_to_200_characters(self) -> None:
        assert len(LONG) == 200
        assert str(Input(LONG)) == str(Input(LONG + "TOP SECRET")) == f"Input '{LONG}'"

    @pytest.mark.parametrize(
        ("end", "ready"),
        [pytest.param("TOP SECRET", False, id="another kind"), pytest.param("TOP SECRET.csv", True, id="a table")],
    )
    def test_where_its_kind_is_refused(self, end: str, ready: bool) -> None:
        uri = "/absent" + "/x" * 120 + end
        with pytest.raises(KimiInputError) as caught:
            list(Input(uri, ready=ready))
        assert str(caught.value).startswith(f"Input {uri[:200]!r} ")
        assert "TOP SECRET" not in str(caught.value)

    def test_where_it_does_not_exist(self) -> None:
        uri = "/absent" + "/x" * 120 + "/TOP SECRET.jsonl"
        with pytest.raises(KimiInputError) as caught:
            list(Input(uri, ready=True))
        assert str(caught.value).startswith(f"Input {uri[:200]!r} does not exist. Nothing was sent.")
        assert "TOP SECRET" not in str(caught.value)

    def test_a_single_prompt_is_told_to_be_given_as_a_list(self) -> None:
        with pytest.raises(KimiInputError, match="a single prompt is given as a list"):
            list(Input("Which colour is the sky?"))
