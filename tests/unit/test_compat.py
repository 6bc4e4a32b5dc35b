"""What Airflow's own values become before the provider works with them."""

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from airflow_provider_kimi.compat import as_uri, never_rendered, object_storage_path


class Reference:
    """As much of another task's output as Airflow looks for."""

    def iter_references(self) -> list[object]:
        return []


class TestNeverRendered:
    @pytest.mark.parametrize("rows", [[Reference()], [{"a": 1}, Reference()], (Reference(), "b")])
    def test_a_list_that_directly_holds_another_tasks_output_is_refused(self, rows: Any) -> None:
        with pytest.raises(ValueError, match=r"may not hold another task's output; pass that output itself$"):
            never_rendered(rows)

    @pytest.mark.parametrize("value", [None, Reference()], ids=["none", "another task's output"])
    def test_what_holds_no_rows_yet_is_left_alone(self, value: object) -> None:
        assert never_rendered(value) is value

    @pytest.mark.parametrize("rows", [["{{ a }}"], [], ({"a": "{{ b }}"},), [["{{ a }}"]]])
    def test_rows_are_kept_from_jinja(self, rows: object) -> None:
        """T30: Airflow asks such a value for its content instead of rendering it."""
        assert never_rendered(rows).resolve({}) is rows


class TestAsUri:
    @pytest.mark.parametrize(
        ("value", "uri"),
        [
            pytest.param(Path("/data/a b.csv"), "/data/a b.csv", id="path"),
            pytest.param(Path("in.csv"), "in.csv", id="relative path"),
            pytest.param(PurePosixPath("/data/in.csv"), "/data/in.csv", id="pure path"),
        ],
    )
    def test_a_path_becomes_text(self, value: object, uri: str) -> None:
        assert as_uri(value) == uri

    def test_a_path_on_object_storage_becomes_text(self) -> None:
        uri = as_uri(object_storage_path("file:///data/in.csv"))
        assert type(uri) is str
        assert uri == "file:///data/in.csv"

    @pytest.mark.parametrize(
        "value", ["s3://bucket/in.csv", "/data/in.csv", "", ["a", {"b": 1}], [Path("x")], ("a",), None, Reference()]
    )
    def test_everything_else_is_left_alone(self, value: object) -> None:
        assert as_uri(value) is value
