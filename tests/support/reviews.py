"""The 2,000 reviews that the main job labels: real ones where the file exists, otherwise generated ones."""

import json
from pathlib import Path
from typing import Any

REAL_REVIEWS = Path(__file__).parents[3] / "shared" / "data" / "reviews.jsonl"
COUNT = 2000


def reviews_file(folder: Path) -> Path:
    """Return a table of `review_id` and `text`."""
    if REAL_REVIEWS.exists():
        return REAL_REVIEWS
    path = folder / "reviews.jsonl"
    with path.open("w", encoding="utf-8") as target:
        for number in range(COUNT):
            text = f"第{number}次来，{'很好，喜欢' if number % 2 else '太差，失望'} {{as is}} \u2028"
            target.write(json.dumps({"review_id": f"g{number:05d}", "text": text}, ensure_ascii=False) + "\n")
    return path


def origin() -> str:
    """Say which ones are used."""
    return "2,000 real reviews" if REAL_REVIEWS.exists() else f"generated rows ({REAL_REVIEWS} is absent)"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file, cut on the newline byte only."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
