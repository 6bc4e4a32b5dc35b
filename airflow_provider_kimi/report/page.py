"""Write the report: one page that asks no host for anything, and runs nothing."""

import json
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment
from markupsafe import Markup

from airflow_provider_kimi import __version__
from airflow_provider_kimi.report.view import view_of
from airflow_provider_kimi.results.report_facts import ReportFacts

LANGUAGES = ("en", "zh")

#: How the page says that it is one of ours.
GENERATOR = "airflow-provider-kimi"


def written_report(facts: ReportFacts, *, most_rows: int = 0) -> bytes:
    """Write the page of a result. The same result gives the same page.

    :param most_rows: How many rows of text it shows.
    """
    template = _environment().get_template("report.html")
    shown = template.render(**view_of(facts, most_rows), version=__version__, generator=GENERATOR)
    return shown.encode("utf-8", "replace")


def said(key: str, **values: object) -> Markup:
    """Say something in every language of the page, which shows one; values are escaped."""
    texts = _texts()[key]
    parts = (Markup('<span lang="{}">{}</span>').format(of, Markup(texts[of]).format(**values)) for of in LANGUAGES)
    return Markup().join(parts)


@cache
def _texts() -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = json.loads(_read("texts.json"))
    return texts


@cache
def _environment() -> Environment:
    names = ("report.html", "report.css")
    made = Environment(
        loader=DictLoader({name: _read(name) for name in names}),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"t": said, "knows": _texts().__contains__}
    made.filters |= {"number": number, "share": share, "moment": moment, "span": span, "money": money}
    return made


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def number(value: int | None) -> str:
    """Write a count."""
    return "–" if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """Write a share as per cent."""
    return "–" if value is None else f"{value:.1%}"


def moment(value: str | int | None) -> str:
    """Write a time, in UTC."""
    if value is None:
        return "–"
    at = datetime.fromtimestamp(value, UTC) if isinstance(value, int) else datetime.fromisoformat(value).astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def span(seconds: int | None) -> str:
    """Write how long something took, as hours, minutes and seconds."""
    if seconds is None:
        return "–"
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def money(cost: dict[str, Any] | None) -> str | Markup:
    """Write an amount in its currency, or that it is not known."""
    if cost is None or cost.get("amount") is None:
        return said("not_known")
    digits = 4 if cost["amount"] < 10 else 2
    return f"{cost['amount']:,.{digits}f} {cost['currency']}"
