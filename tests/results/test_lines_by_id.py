"""Lines of a file are found by their ids, each once."""

import json
from pathlib import Path

from airflow_provider_kimi.results.lines_by_id import LinesById


def lines_of(folder: Path, *ids: str) -> LinesById:
    path = folder / "lines.jsonl"
    path.write_text("".join(json.dumps({"custom_id": one, "place": at}) + "\n" for at, one in enumerate(ids)))
    return LinesById(path)


def places(*lines: bytes | None) -> list[int | None]:
    return [None if line is None else json.loads(line)["place"] for line in lines]


def test_a_line_is_found_as_often_as_wanted_and_taken_once(tmp_path: Path) -> None:
    with lines_of(tmp_path, "a", "b", "c") as lines:
        found = [lines.find("b"), lines.find("b"), lines.take("b"), lines.take("b"), lines.find("b"), lines.find("x")]
        assert places(*found) == [1, 1, 1, None, 1, None]
        assert places(*lines.left()) == [0, 2]
        assert lines.repeated is None


def test_an_id_of_several_lines_is_known(tmp_path: Path) -> None:
    with lines_of(tmp_path, "a", "b", "b", "a") as lines:
        assert lines.repeated == "b"
        assert places(lines.take("b")) == [1]


def test_a_line_without_an_id_is_passed_over_and_the_last_one_may_be_open(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{}\n\n{"custom_id":"a"}')
    with LinesById(path) as lines:
        assert lines.take("a") == b'{"custom_id":"a"}'
