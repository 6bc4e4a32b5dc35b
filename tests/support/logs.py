"""A log that keeps its lines."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class LogRecord:
    """Keeps formatted lines, by level."""

    infos: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def info(self, event: str, *args: Any) -> None:
        """Keep a line."""
        self.infos.append(event % args if args else event)

    def warning(self, event: str, *args: Any) -> None:
        """Keep a line."""
        self.warnings.append(event % args if args else event)
