"""Text of another encoding, read as UTF-8."""

import codecs
import io
from collections.abc import Callable
from typing import BinaryIO, cast

from airflow_provider_kimi.files.lines import CHUNK_BYTES

#: Makes the error of a file from its problem and the remedy.
Unreadable = Callable[[str, str], Exception]


def as_utf8(source: BinaryIO, encoding: str, unreadable: Unreadable) -> BinaryIO:
    """Read text of another encoding as UTF-8, without a byte order mark.

    :param unreadable: Makes the error that is raised for text that is not of this encoding.
    """
    return cast(BinaryIO, io.BufferedReader(_Recoded(source, encoding, unreadable), CHUNK_BYTES))


class _Recoded(io.RawIOBase):
    def __init__(self, source: BinaryIO, encoding: str, unreadable: Unreadable) -> None:
        self._source = source
        self._encoding = encoding
        self._unreadable = unreadable
        self._decode = codecs.getincrementaldecoder(encoding)().decode
        self._held = b""
        self._is_begun = False
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._held and not self._is_over:
            self._held = self._next()
        size = min(len(target), len(self._held))
        target[:size] = self._held[:size]
        self._held = self._held[size:]
        return size

    def _next(self) -> bytes:
        chunk = self._source.read(CHUNK_BYTES)
        self._is_over = not chunk
        try:
            text = self._decode(chunk, self._is_over)
            if text and not self._is_begun:
                self._is_begun, text = True, text.removeprefix("\ufeff")
            return text.encode()
        except UnicodeError as error:
            problem = f"is not {self._encoding} ({getattr(error, 'reason', error)})"
            wider = ", such as to 'gb18030', which holds all of it," if self._encoding in ("gb2312", "gbk") else ""
            raise self._unreadable(problem, f"Correct encoding{wider} or save the file as UTF-8.") from None
