"""What the page says of an error file: codes and numbers. Its texts are left out, since they may repeat a prompt."""

import re
from collections import Counter
from typing import Any

from airflow_provider_kimi.files.line_ids import id_of
from airflow_provider_kimi.results.answer_lines import batch_error, read_row
from airflow_provider_kimi.results.failures import reason_of

#: How much of an error file is read.
MOST_BYTES = 1_000_000

#: How many codes, and how many numbers of lines for each, are shown.
MOST_CODES, MOST_LINES = 10, 5

_LINE = re.compile(r"\bline (\d{1,9})\b")


def errors_in(content: bytes, *, is_whole: bool) -> dict[str, Any]:
    """Count the errors of a file by their codes, with the numbers of the lines of the input that they name.

    :param content: Its beginning.
    :param is_whole: Whether that is all of it; else the last line may be cut, and does not count.
    """
    lines = content.split(b"\n")
    counts: Counter[str] = Counter()
    named: dict[str, list[int]] = {}
    for line in filter(bytes.strip, lines if is_whole else lines[:-1]):
        row = read_row(line) if id_of(line) else batch_error(line)
        if row is None:
            continue
        code = reason_of(row.error_code)
        counts[code] += 1
        if found := _LINE.search(row.error_message or ""):
            named.setdefault(code, []).append(int(found[1]))
    codes = [
        {"code": code, "count": count, "lines": named.get(code, [])[:MOST_LINES]}
        for code, count in counts.most_common(MOST_CODES)
    ]
    return {"codes": codes, "is_whole": is_whole and len(counts) <= MOST_CODES}
