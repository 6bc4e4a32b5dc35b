"""Whether every `custom_id` is used once, in eight bytes of memory for each."""

from array import array
from collections import Counter
from collections.abc import Iterable

#: Ids that are compared at once.
_AT_ONCE = 1 << 16


class SeenIds:
    """Remembers ids by their hash: enough to know that none is repeated, and which ones to compare."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def extend(self, custom_ids: Iterable[str]) -> None:
        """Remember some."""
        self._hashes.extend(map(hash, custom_ids))

    def repeated(self) -> set[int]:
        """The hashes that came more than once, of equal ids or, almost never, of different ones."""
        repeated: set[int] = set()
        parts = len(self._hashes) // _AT_ONCE + 1
        for part in range(parts):
            alike = [digest for digest in self._hashes if digest % parts == part] if parts > 1 else self._hashes
            if len(set(alike)) < len(alike):
                repeated |= {digest for digest, times in Counter(alike).items() if times > 1}
        return repeated
