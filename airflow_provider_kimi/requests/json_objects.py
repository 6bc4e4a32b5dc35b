"""The objects of a JSON file: of one array, or written one after another. Only one is held at a time."""

import codecs
import re
from collections.abc import Iterable, Iterator

#: What stands in an object up to its next bracket: anything but brackets, and whole texts.
_UP_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_UP_TO_QUOTE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BLANKS = re.compile(rb"[ \t\r\n]*")

_QUOTE, _BACKSLASH = b'"\\'
_OPENING = b"{["


class _Cutter:
    """Cuts text into its objects, as far as it was given. No byte is looked at more than twice."""

    def __init__(self, longest: int) -> None:
        self.is_complete = True
        self._longest = longest
        self._held = bytearray()
        self._at = 0
        self._depth = 0
        self._is_in_text = False
        self._is_array = False
        self._allowed = b"[{"

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take what follows, and return the objects that end in it.

        :raises ValueError: It is not JSON of objects.
        """
        self._held += chunk
        found = []
        begin = 0
        while self._goes_on():
            if self._depth == 0:
                begin = self._at
                self._between()
            elif self._within():
                found.append(bytes(self._held[begin : self._at]))
                begin = self._at
        if self._depth == 0:
            begin = self._at
        del self._held[:begin]
        self._at -= begin
        if len(self._held) > self._longest:
            raise ValueError(f"has an object of over {self._longest:,} bytes")
        self.is_complete = self._depth == 0 and (not self._is_array or not self._allowed)
        return found

    def _goes_on(self) -> bool:
        skipped = (_UP_TO_QUOTE if self._is_in_text else _UP_TO_BRACKET if self._depth else _BLANKS).match(
            self._held, self._at
        )
        self._at = skipped.end() if skipped else self._at
        return self._at < len(self._held) and not (self._is_in_text and self._held[self._at] == _BACKSLASH)

    def _between(self) -> None:
        """Pass what stands between two objects."""
        sign = self._held[self._at]
        if sign not in self._allowed:
            raise ValueError("holds something else than objects, or a comma or bracket too many or too few")
        self._at += 1
        if sign == ord("["):
            self._is_array, self._allowed = True, b"{]"
        elif sign == ord("{"):
            self._depth, self._allowed = 1, b",]" if self._is_array else b"{"
        else:
            self._allowed = b"{" if sign == ord(",") else b""

    def _within(self) -> bool:
        """Pass a bracket or a quote of an object; whether it ends there."""
        sign = self._held[self._at]
        self._at += 1
        if sign == _QUOTE:
            self._is_in_text = not self._is_in_text
        else:
            self._depth += 1 if sign in _OPENING else -1
        return self._depth == 0


def objects_of(chunks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """Yield the text of each object.

    :param longest: Bytes of an object that are held.
    :raises ValueError: It is not JSON of objects; what was wrong, in words that follow the name of the file.
    """
    cutter = _Cutter(longest)
    count = 0
    first = True
    for chunk in chunks:
        try:
            found = cutter.feed(chunk.removeprefix(codecs.BOM_UTF8) if first else chunk)
        except ValueError as error:
            raise ValueError(f"{error} (after {count:,} or more objects)") from None
        first = False
        count += len(found)
        yield from found
    if not cutter.is_complete:
        raise ValueError(f"ends too early, after {count:,} objects")
