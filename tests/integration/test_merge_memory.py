"""A merge takes the same memory whatever the size of the earlier result."""

import json
import tracemalloc
from pathlib import Path

from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.rows import RESULT_FIELDS
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.earlier import Earlier, EarlierFiles
from airflow_provider_kimi.results.formats import Form
from airflow_provider_kimi.results.merging import merge_rows

FIELDS = [name for name in RESULT_FIELDS if name not in ("parsed", "reasoning")]

#: Of a row that was asked again: its places and slots in three indexes of lines.
BYTES_A_ROW = 3 * (8 + 24)


def row(number: int, status: str, text: str) -> str:
    own = {**dict.fromkeys(FIELDS[1:]), "status": status, "round": 1}
    return json.dumps({"custom_id": f"r{number}", "text": text, **own}) + "\n"


def peak_of(folder: Path, rows: int) -> int:
    """The most memory that a merge took at once; every fourth row was asked again."""
    for name in ("new", "out"):
        (folder / name).mkdir(parents=True)
    text = "very good " * 200
    letters = "".join(json.dumps({"custom_id": f"r{n}", "body": text}) + "\n" for n in range(0, rows, 4))
    with (folder / "results.jsonl").open("w") as results, (folder / "new" / "results.jsonl").open("w") as new:
        for number in range(rows):
            results.write(row(number, "succeeded" if number % 4 else "failed", text))
            if not number % 4:
                new.write(row(number, "expired", text))
    for path in (folder / "letters.jsonl", folder / "new" / "dead_letter.jsonl"):
        path.write_text(letters)
    failed = len(range(0, rows, 4))
    counts = {"total": rows, "succeeded": rows - failed, "failed": failed}
    earlier = Earlier("/a", b"", Manifest(batch_ids=["a"], counts=counts), is_output=False)
    files = EarlierFiles(folder / "results.jsonl", None, None, folder / "letters.jsonl")
    tracemalloc.start()
    try:
        merged, _ = merge_rows(earlier, files, folder / "new", Form(), FIELDS, folder / "out", AnswerCheck())
        assert merged.fates == {"taken": failed}
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    peaks = [peak_of(tmp_path / str(number), rows) for number, rows in enumerate((1_000, 1_000, 10_000))]
    assert peaks[2] - peaks[1] < 9_000 / 4 * BYTES_A_ROW + 500_000
