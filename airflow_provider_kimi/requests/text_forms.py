"""The forms of text files: which one a task names, and which one a file of another form looks like."""

import codecs
import re
from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_kimi.files.csv_options import CsvOptions
from airflow_provider_kimi.records.reading import Reading

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # begins as that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

#: Bytes of a Chinese character, which hardly ever stand together in text of a European code page.
_PAIRS = re.compile(rb"[\x81-\xfe][\x80-\xfe]|[\x81-\xfe][0-9][\x81-\xfe][0-9]")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]")

_DELIMITERS = (";", "\t", ",", "|")

#: A first line that names the delimiter for Excel.
_DELIMITER_LINE = re.compile(r"sep=(.)", re.DOTALL)


def read_reading(csv_options: Mapping[str, Any] | None, encoding: str) -> Reading:
    """Read how a task has its input read.

    :raises ValueError: An option is unknown or has a value that it cannot have, or Python knows no such encoding.
    """
    options = CsvOptions.of(csv_options)
    try:
        codecs.getincrementaldecoder(encoding)
        "".encode(encoding)  # refused by what is no encoding of text, such as base64
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        raise ValueError(
            f"encoding is {encoding!r}; it must be the name of an encoding that Python knows, such as 'gb18030', "
            "'utf-16' or 'cp1252'"
        ) from None
    delimiter = options.delimiter if csv_options and "delimiter" in csv_options else None
    return Reading(delimiter, None if name == "utf-8" else name)


def check_reads_files(source: object, csv_options: Mapping[str, Any] | None, reading: Reading) -> None:
    """Refuse the form of files where the input is rows.

    :param source: The input as it is given; a reference to another task's output may still be files.
    :raises ValueError: A parameter would have no effect.
    """
    if isinstance(source, str) or hasattr(source, "iter_references"):
        return
    if name := "csv_options" if csv_options else unused_option(reading, are_files=False):
        raise ValueError(
            f"{name} says how files are written, and input is a {kind_of(source)}; leave {name} out, or give the URI "
            "of files"
        )


def unused_option(reading: Reading, *, are_files: bool, kinds: Collection[str] = ()) -> str | None:
    """The parameter that has no effect on an input; None if each that was given has one.

    :param are_files: Whether the input is files.
    :param kinds: The kinds of its files.
    """
    if reading.delimiter is not None and not (are_files and {"csv", "tsv"} & {*kinds}):
        return "csv_options"
    if reading.encoding is not None and not (are_files and {*kinds} != {"parquet"}):
        return "encoding"
    return None


def kind_of(source: object) -> str:
    """What an input that is not files is called in a message."""
    return "function" if callable(source) else type(source).__name__


def wide_encoding(begin: bytes) -> str | None:
    """The encoding of a text whose characters have two or four bytes, by its begin; None if it is not one."""
    for mark, name in _BYTE_ORDER_MARKS.items():
        if begin.startswith(mark):
            return name
    if 0 in begin[:2] and len(begin) > 1:
        return "utf-16-be" if begin[0] == 0 else "utf-16-le"
    return None


def likely_encoding(line: bytes) -> str | None:
    """The encoding that a line looks like which is not UTF-8; None if that cannot be told."""
    try:
        codecs.getincrementaldecoder("gb18030")().decode(line)  # its end may be cut
    except UnicodeDecodeError:
        return None
    return "gb18030" if 3 * len(_PAIRS.findall(line)) >= len(_HIGH_BYTES.findall(line)) > 0 else None


def line_around(text: bytes, place: int) -> bytes:
    """The line of a text that a place is in."""
    end = text.find(b"\n", place)
    return text[text.rfind(b"\n", 0, place) + 1 : None if end < 0 else end]


def named_delimiter(line: str) -> str | None:
    """The delimiter that a first line names, as Excel reads it; None if it names none."""
    named = _DELIMITER_LINE.fullmatch(line)
    return named[1] if named else None


def likely_delimiter(header: str, delimiter: str) -> str | None:
    """The delimiter that a header looks like in which the one that was meant does not stand; None if it has none."""
    if delimiter in header:
        return None
    count, found = max((header.count(other), other) for other in _DELIMITERS if other != delimiter)
    return found if count else None
