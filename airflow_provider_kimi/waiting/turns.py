"""Turns: who comes first in a round of looks, and where its paging begins, so that nobody is forgotten."""

from collections.abc import Iterable, Sequence


class Turns:
    """Keeps from round to round which batches were read how long ago, and which a round did not get to.

    A round has few requests, and the pages of a long list may show some of ours again and again. So one that left
    somebody out is followed by one that begins with the longest unread, and goes on behind it in the list.
    """

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._last_place = 0
        self._left_out: set[str] = set()
        self._top_is_ours = True

    @property
    def from_top(self) -> bool:
        """Whether paging begins at the top of the list: it shows ours, as far as is known, and nobody was left out."""
        return self._top_is_ours and not self._left_out

    def ordered(self, due: Sequence[str]) -> list[str]:
        """Put first what was never read, the newest before older ones, as the list has them; then the longest unread.

        :param due: The oldest first.
        """
        newest_first = due[::-1]
        return sorted(newest_first, key=lambda batch_id: self._places.get(batch_id, 0))

    def top_shows(self, *, ours: bool) -> None:
        """Note whether the top of the list shows any of ours."""
        self._top_is_ours = ours

    def was_read(self, batch_id: str) -> None:
        """Put a batch behind all others."""
        self._move_back(batch_id)
        self._left_out.discard(batch_id)

    def has_failed(self, batch_id: str) -> None:
        """Put a batch behind all others too, or it would take the turns of those that can be read."""
        self._move_back(batch_id)

    def leave_out(self, batch_ids: Iterable[str]) -> None:
        """Note what a round was to read, and did not."""
        self._left_out.update(batch_ids)

    def forget(self, batch_id: str) -> None:
        """Wait for a batch no longer."""
        self._places.pop(batch_id, None)
        self._left_out.discard(batch_id)

    def _move_back(self, batch_id: str) -> None:
        self._last_place += 1
        self._places[batch_id] = self._last_place
