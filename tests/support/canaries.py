"""Canaries: a key, ids, a row and an answer that nobody may find where they are not documented to be."""

import traceback
from collections.abc import Iterable, Iterator

KEY, ORGANIZATION = "sk-canarykey0123456789", "org-canaryorg0123"
PROMPT, ANSWER = "canary of a prompt that somebody wrote", "canaryanswer"
ROW = "canary of a row that somebody wrote"

#: What a platform may say of a call, and of a request: all that it knows.
IDS = f"<{ORGANIZATION}> is refused for {KEY}, which is {KEY[:7]}***{KEY[-4:]}"
ECHO = f"'{PROMPT} {ROW} 1' of {IDS}"

#: What may be nowhere; parts of them, since a part says enough.
SECRETS = (KEY, KEY[3:12], KEY[-6:], ORGANIZATION)
TEXTS = (PROMPT, ROW, PROMPT[:20], ROW[:20], ANSWER)


def found_in(shown: str, canaries: Iterable[str] = (*SECRETS, *TEXTS)) -> list[str]:
    """Each canary that is there, with what stands around it."""
    return [shown[max(place - 300, 0) : place + 100] for one in canaries if (place := shown.find(one)) >= 0]


def printed(error: BaseException) -> str:
    """All that a traceback, a repr or a pickle of an error may show, of its causes and its contexts too."""
    texts = ["".join(traceback.format_exception(error))]
    for one in _chain(error):
        texts += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "__notes__", ()))]
    return "".join(texts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and each that led to it, whether it is shown or not."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
