"""Bars as inline SVG, which names no colour and no host: the page's style does. Needs the extra `report`."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

from markupsafe import Markup

#: Units of the whole width, the height of a bar, and the width at which a piece can still be seen.
WIDTH = 1000
_HEIGHT = 16
_LEAST = 6


class Part(NamedTuple):
    """A piece of a bar, in shares of its width.

    :param kind: Its class in the page's style.
    """

    kind: str
    start: float
    length: float


def are_there() -> bool:
    """Whether the library that draws is installed."""
    return find_spec("svg") is not None


def bar(parts: Iterable[Part]) -> Markup:
    """Draw pieces on one line; empty without the library. What they say stands in words beside them."""
    if not are_there():
        return Markup()
    import svg

    pieces: list[svg.Element] = [
        svg.Rect(
            x=round(part.start * WIDTH, 1),
            y=0,
            width=max(round(part.length * WIDTH, 1), _LEAST),
            height=_HEIGHT,
            class_=[part.kind],
        )
        for part in parts
        if part.length > 0
    ]
    drawn = svg.SVG(
        xmlns=None,
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, _HEIGHT),
        preserveAspectRatio=svg.PreserveAspectRatio("none"),
        class_=["bar"],
        elements=pieces,
        extra={"aria-hidden": "true"},
    )
    return Markup(drawn.as_str())


def stacked(lengths: Iterable[tuple[str, float]]) -> Markup:
    """Draw pieces one after the other.

    :param lengths: The kind and the share of each.
    """
    parts, start = [], 0.0
    for kind, length in lengths:
        parts.append(Part(kind, start, length))
        start += length
    return bar(parts)
