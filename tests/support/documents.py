"""The documents that users and contributors read, and the blocks of code in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: What users read; contributors have three pages more.
USER_PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PAGES = (*USER_PAGES, *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")))

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of code.

    :param number: Its place among those of its language on the page, from 1.
    """

    page: str
    number: int
    code: str

    @property
    def name(self) -> str:
        """A name that a Python module may have."""
        return re.sub(r"\W", "_", f"{self.page.removesuffix('.md').lower()}_{self.number}")

    @property
    def is_dag(self) -> bool:
        """Whether it is a file for the DAGs folder."""
        return "with DAG(" in self.code


def blocks_of(page: Path, language: str) -> list[Block]:
    """The blocks of one language on a page, in order."""
    found = [match for match in _BLOCK.finditer(page.read_text(encoding="utf-8")) if match["language"] == language]
    return [Block(page.name, number, match["code"]) for number, match in enumerate(found, 1)]


def all_blocks(language: str) -> list[Block]:
    """The blocks of one language on all pages."""
    return [block for page in USER_PAGES for block in blocks_of(page, language)]
