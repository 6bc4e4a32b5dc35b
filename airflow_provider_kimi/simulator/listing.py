"""The list of batches, page by page, as far as its documentation leaves it open."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_kimi.simulator import limits, rules
from airflow_provider_kimi.simulator.behaviour import Behaviour


@dataclass(frozen=True)
class Row:
    """One batch of the list.

    :param id: Its id, as `after` names it.
    :param has_ended: Whether its status is a last one.
    :param show: Gives the batch as the list shows it; called only for the rows of the page.
    """

    id: object
    has_ended: bool
    show: Callable[[], Mapping[str, Any]]


def odd_row(shape: Mapping[str, Any]) -> Row:
    """A batch that is shown exactly as given."""
    return Row(shape.get("id"), shape.get("status") in limits.TERMINAL_STATUSES, lambda: shape)


def page_length(asked: str | None, behaviour: Behaviour) -> int:
    """Rows of a page, from the `limit` of a call."""
    try:
        limit = limits.DEFAULT_LIST_LIMIT if asked is None else int(asked)
    except ValueError:
        limit = 0
    if limit < 1:
        raise rules.invalid("limit must be a positive integer")
    most = behaviour.refused_limit
    if asked is not None and most is not None and limit > most:
        raise rules.invalid(f"limit must be at most {most}")
    return min(limit, behaviour.max_list_limit)


def page(rows: Iterable[Row], after: str | None, length: int, behaviour: Behaviour) -> dict[str, Any]:
    """One page of the rows, which are given oldest first, behind the id `after`."""
    ordered = _ordered(list(rows), behaviour)
    start = _start(ordered, after, behaviour)
    shown = ordered[start : start + length]
    answer = list_of([row.show() for row in shown], behaviour)
    if behaviour.has_more != "absent":
        answer["has_more"] = behaviour.has_more == "honest" and start + len(shown) < len(ordered)
    return answer


def list_of(rows: Sequence[Mapping[str, Any]], behaviour: Behaviour) -> dict[str, Any]:
    """A list of anything, as the platform spells it."""
    return {"object": "list", "data": rows or (None if behaviour.empty_list == "null" else [])}


def listed(shape: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """A batch as a row of the list, which may show less of it than its own address does."""
    shown = {
        "metadata": behaviour.list_metadata,
        "created_at": behaviour.list_created_at,
        "input_file_id": behaviour.list_input_file,
    }
    return {name: value if shown.get(name, True) else None for name, value in shape.items()}


def _ordered(rows: list[Row], behaviour: Behaviour) -> list[Row]:
    if behaviour.list_order == "oldest_first":
        return rows
    rows.reverse()
    return rows if behaviour.list_order == "newest_first" else sorted(rows, key=lambda row: row.has_ended)


def _start(ordered: Sequence[Row], after: str | None, behaviour: Behaviour) -> int:
    if not after or behaviour.list_after == "ignored":
        return 0
    if behaviour.list_after == "empty":
        return len(ordered)
    ids = [row.id for row in ordered]
    if after in ids:
        return ids.index(after) + 1
    match behaviour.unknown_after:
        case "first_page":
            return 0
        case "empty":
            return len(ids)
        case "refused":
            raise rules.invalid(f"after: batch {after} not found")
