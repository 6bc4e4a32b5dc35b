"""Whether every `custom_id` is used once, in nine bytes of memory for each."""

from array import array
from collections import Counter

_BUCKETS = 256


class SeenIds:
    """Remembers ids by their hash: enough to know that none is repeated, and which ones to compare."""

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(_BUCKETS)]

    def add(self, custom_id: str) -> None:
        """Remember one."""
        digest = hash(custom_id)
        self._buckets[digest % _BUCKETS].append(digest)

    def repeated(self) -> set[int]:
        """The hashes that came more than once, of equal ids or, almost never, of different ones."""
        repeated: set[int] = set()
        for bucket in self._buckets:
            if len(set(bucket)) < len(bucket):
                repeated |= {digest for digest, times in Counter(bucket).items() if times > 1}
        return repeated
