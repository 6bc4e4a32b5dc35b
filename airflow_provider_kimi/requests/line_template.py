"""A request line with holes: what all rows share is encoded once."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from airflow_provider_kimi.requests.problems import RowProblem

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class LineTemplate:
    """The bytes around the holes, one piece more than there are holes."""

    pieces: tuple[bytes, ...]

    def fill(self, *texts: str) -> bytes:
        """Put a text into each hole; refuse a text that JSON cannot hold."""
        try:
            line = [self.pieces[0]]
            for text, piece in zip(texts, self.pieces[1:], strict=True):
                line += (_encode(text), piece)
        except UnicodeEncodeError:
            raise RowProblem("holds half a character (a lone surrogate), which is not valid Unicode") from None
        return b"".join(line)


def line_template_of(request: Callable[..., object], holes: int) -> LineTemplate | None:
    """Encode a request with a mark in each hole, and cut it there; None if the rest holds a mark too.

    :param request: Makes the request from one text for each hole, in the order of the holes.
    """
    marks = [f"\x00hole {number}\x00" for number in range(holes)]
    rest = encode(request(*marks))
    pieces = []
    for mark in marks:
        piece, hole, rest = rest.partition(_encode(mark))
        if not hole:
            return None
        pieces.append(piece)
    whole = (*pieces, rest)
    return None if any(b"\\u0000hole" in piece for piece in whole) else LineTemplate(whole)


def encode(request: object) -> bytes:
    """Encode a request as one line of JSON; refuse what JSON cannot hold."""
    try:
        return _encode(request)
    except UnicodeEncodeError:
        raise RowProblem("holds half a character (a lone surrogate), which is not valid Unicode") from None
    except RecursionError:
        raise RowProblem("is nested too deeply") from None
    except (TypeError, msgspec.MsgspecError) as error:
        raise RowProblem(f"cannot be written as JSON: {error}") from None
