"""The report of a dry run, as a table for the log."""

from collections.abc import Mapping
from typing import Any

from airflow_provider_kimi.api.limits import MAX_FILES

_WIDTH = 16


def table(report: Mapping[str, Any], currency: str) -> str:
    """Write the report of a dry run for people.

    :param currency: That of the balance.
    """
    cost, kept, balance = report["cost"], report["files_kept"], report["balance"]
    lines = [
        "Dry run: nothing was uploaded or created.",
        f"Rows: {report['rows']:,}. Batches: {report['shards']:,}. Model: {report['model']}.",
        *(
            [f"Not sent: {saved['cache']:,} that the cache answers, {saved['duplicate']:,} that repeat another row."]
            if (saved := report.get("saved"))
            else ()
        ),
        f"{'':<20}" + "".join(f"{name:>{_WIDTH}}" for name in ("low", "expected", "high")),
        _line("prompt tokens", report["prompt_tokens"], ",.0f"),
        _line("completion tokens", report["completion_tokens"], ",.0f"),
        _line(f"cost ({cost['currency']:.12})", cost, ",.4f")
        if cost
        else "cost: not known, because the model has no price",
        f"Files: {report['files_used']:,} would be used; "
        + (f"{kept:,} of {MAX_FILES:,} are kept now." if kept is not None else "how many are kept is not known."),
        f"Balance: {f'{balance:,.2f} {currency}' if balance is not None else 'not known'}.",
        *(f"- {assumption}" for assumption in report["assumptions"]),
    ]
    return "\n".join(lines)


def _line(name: str, values: Mapping[str, Any], form: str) -> str:
    return f"{name:<20}" + "".join(f"{values[bound]:>{_WIDTH}{form}}" for bound in ("low", "expected", "high"))
