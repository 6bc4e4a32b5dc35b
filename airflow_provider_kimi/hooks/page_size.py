"""How many batches a page may have: the largest size is documented nowhere, and a gateway may refuse ours."""

from airflow_provider_kimi.exceptions import KimiApiError
from airflow_provider_kimi.hooks.call import UNKNOWN_ID

#: What a refusal is about that no other size of the page can change.
_OF_ANOTHER_KIND = frozenset(
    {"key", "forbidden", "balance", "rate_limit", "daily_tokens", "content_filter", "redirect"}
)


class PageSize:
    """Whether a platform takes the size of a page that it is asked for. Once it does not, it is asked for none."""

    def __init__(self) -> None:
        self._is_refused = False
        self._faults = 0  # in a row

    def of(self, limit: int | None) -> int | None:
        """Return the limit to ask for; None for pages of the platform's own size."""
        return None if self._is_refused else limit

    def may_explain(self, error: KimiApiError, limit: int | None) -> bool:
        """Whether a page without a limit is worth a try.

        A refusal says at once that it is; a fault on the platform's side does if it lasts, and then ever more seldom.
        """
        if self.of(limit) is None or error.kind in _OF_ANOTHER_KIND or error.error_type == UNKNOWN_ID:
            return False
        self._faults += 1
        lasts = self._faults > 1 and self._faults & (self._faults - 1) == 0  # the second, fourth, eighth, ... in a row
        return error.kind != "fault" or lasts

    def is_taken(self) -> None:
        """Note that the platform has answered."""
        self._faults = 0

    def is_refused(self) -> None:
        """Note that a page came without a limit, and none with it."""
        self._is_refused = True
