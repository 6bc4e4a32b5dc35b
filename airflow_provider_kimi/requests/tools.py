"""The tools of a request, judged before they are paid for."""

import re
from collections.abc import Iterator, Mapping, Sequence

#: Most tools of a request (chat reference).
MAX_TOOLS = 128

#: The name of a function. The chat reference lets it begin with `_` too, the platform's refusals do not.
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,255}")


def tool_problems(tools: object) -> Iterator[str]:
    """Say what is wrong with the number of tools and the names of functions, by their places: a name may be data."""
    if not isinstance(tools, list | tuple):
        return
    if len(tools) > MAX_TOOLS:
        yield f"has {len(tools)} tools; {MAX_TOOLS} are allowed"
    places: dict[str, int] = {}
    for place, name in _named(tools):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield (
                f"has a tool {place} whose function.name is not a letter, then letters, digits, '_' and '-', 256 "
                "characters at most"
            )
        elif name in places:
            yield f"has a tool {place} with the name of tool {places[name]}; each needs its own"
        else:
            places[name] = place


def _named(tools: Sequence[object]) -> Iterator[tuple[int, object]]:
    """Each function's place and name. Tools that the platform has itself are of another type, and named otherwise."""
    for place, tool in enumerate(tools, 1):
        if isinstance(tool, Mapping) and tool.get("type", "function") == "function":
            function = tool.get("function")
            yield place, function.get("name") if isinstance(function, Mapping) else None
