"""An index of lines by id, small enough for millions of them, whatever the length of lines and ids."""

from array import array
from collections.abc import Callable

_PLACE_BITS = 40
_PLACE_MASK = (1 << _PLACE_BITS) - 1
_TAKEN = 1 << 63
_TAG_BITS = 63 - _PLACE_BITS
_TAG_MASK = ((1 << _TAG_BITS) - 1) << _PLACE_BITS
_TAG_SHIFT = 64 - _TAG_BITS


class LineIndex:
    """Remembers which line is that of each id, in 12 to 24 bytes of memory.

    Of an id it keeps only bits of the hash, so a line that may be the right one is read to be sure.

    :param is_at: Whether the line at a place is that of an id.
    """

    def __init__(self, lines: int, is_at: Callable[[int, str], bool]) -> None:
        size = 1 << max(lines * 3 // 2, 2).bit_length()
        self._slots = array("Q", bytes(8 * size))  # 0 is a free slot; places are kept plus one
        self._mask = size - 1
        self._is_at = is_at

    def add(self, custom_id: str, place: int) -> bool:
        """Remember the first line of an id; False if it has one already."""
        slot, tag, entry = self._find(custom_id)
        if entry:
            return False
        self._slots[slot] = tag | (place + 1)
        return True

    def move(self, custom_id: str, place: int) -> None:
        """Remember another line of an id that has one."""
        slot, tag, _ = self._find(custom_id)
        self._slots[slot] = tag | (place + 1)

    def has(self, custom_id: str) -> bool:
        """Whether an id has a line. It is the last line that `is_at` has looked at."""
        return bool(self._find(custom_id)[2])

    def take(self, custom_id: str) -> bool:
        """Find the line of an id, once; False if there is none. It is the last line that `is_at` has looked at."""
        slot, _, entry = self._find(custom_id)
        if not entry or entry & _TAKEN:
            return False
        self._slots[slot] = entry | _TAKEN
        return True

    def left(self) -> "array[int]":
        """The places that were not taken, in order."""
        return array("Q", sorted((entry & _PLACE_MASK) - 1 for entry in self._slots if 0 < entry < _TAKEN))

    def _find(self, custom_id: str) -> tuple[int, int, int]:
        """The slot of an id, the bits of its hash that do not choose the slot, and its entry; 0 if it is free."""
        slots, mask, digest = self._slots, self._mask, hash(custom_id)
        tag = digest >> _TAG_SHIFT << _PLACE_BITS & _TAG_MASK
        slot = digest & mask
        while entry := slots[slot]:
            if entry & _TAG_MASK == tag and self._is_at((entry & _PLACE_MASK) - 1, custom_id):
                break
            slot = (slot + 1) & mask
        return slot, tag, entry
