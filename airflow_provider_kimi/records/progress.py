"""How far the batches of a wait are: the XCom `progress`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import msgspec


class Progress(msgspec.Struct, frozen=True):
    """All batches of a wait together.

    :param statuses: How many batches have each status.
    :param rows_per_minute: Rows completed or failed a minute, since each batch began; None while there are none.
    :param expected_end: When the last batch should end at that rate, in UTC; None where that is not known.
    :param to_come: How many batches of the task are still to be created.
    :param polled_at: When these numbers were read, in UTC; None while nothing was, and in what earlier releases stored.
    :param version: Of the shape. Earlier releases store none.
    """

    statuses: dict[str, int] = msgspec.field(default_factory=dict)
    total: int = 0
    completed: int = 0
    failed: int = 0
    rows_per_minute: float | None = None
    expected_end: datetime | None = None
    to_come: int = 0
    polled_at: datetime | None = None
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON, with times in ISO 8601."""
        stored: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(datetime,))
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in stored.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Read it back. What a later version adds is ignored."""
        return msgspec.convert(dict(stored), cls)
