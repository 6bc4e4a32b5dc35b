"""The asset watcher's mark: which ends of batches it has reported."""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

#: How far the platform's clock may be off.
CLOCK_MARGIN_SECONDS = 300.0


class Mark(msgspec.Struct, frozen=True):
    """What an asset watcher has reported.

    :param since: Unix seconds; a batch that ended before is not news.
    :param running: Batches that ran when they were last seen.
    :param reported: Batches that were reported and ended so late that `since` does not exclude them, by their end.
    :param version: Of the shape. Earlier releases store none.
    """

    since: float
    running: frozenset[str] = frozenset()
    reported: dict[str, float] = msgspec.field(default_factory=dict, name="told")
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON."""
        stored: dict[str, Any] = msgspec.to_builtins(self)
        return stored | {"running": sorted(self.running)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Read it back. What a later version adds is ignored; a development version stored `told` as a list."""
        reported = stored.get("told", {})
        if not isinstance(reported, Mapping):
            reported = dict.fromkeys(reported, stored["since"] + CLOCK_MARGIN_SECONDS)
        return msgspec.convert({**stored, "told": reported}, cls)
