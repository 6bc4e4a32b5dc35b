"""Outlets: the asset events of a task carry a summary of the result that it landed.

A task that has landed must not fail by them, so whatever Airflow would refuse of them is made fit or left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from airflow_provider_kimi.calls.patience import Log
from airflow_provider_kimi.compat import Asset, AssetAlias, Context, alias_extra
from airflow_provider_kimi.records.manifest import Manifest
from airflow_provider_kimi.records.outside import without_connection
from airflow_provider_kimi.records.tags import shortened

#: Most characters of a name and of a URI that Airflow's database keeps.
MAX_ASSET_CHARS = 1500

#: What a URI holds as it is, beside letters, digits and `-._~`.
_AS_IT_IS = "/:@!$&'()*+,;="


def report_to_outlets(outlets: Iterable[Any], context: Context, manifest: Manifest, log: Log) -> None:
    """Put a summary of the manifest into the event of each outlet that is an asset.

    An alias turns the results file into an asset. What Airflow refuses is left out, and the log says so.
    """
    summary = manifest.to_event()
    for outlet in outlets:
        try:
            event = context["outlet_events"][outlet]
            if isinstance(outlet, AssetAlias) and (location := manifest.results_file):
                event.add(Asset(_fit(asset_uri(location), log)), extra=alias_extra(summary))
            else:
                event.extra = {**event.extra, **summary}
        except TypeError:  # an outlet that is not an asset has no event
            continue
        except Exception as error:  # whatever Airflow, or a provider of the scheme, says of a URI
            log.warning(
                "The result is landed. %r gets no event of it, because Airflow refuses the asset (%s: %s). DAGs that "
                "wait for it do not start. Correct the outlet, or the output, and clear this task: nothing is paid "
                "again.",
                *(outlet, type(error).__name__, error),
            )


def asset_uri(location: str) -> str:
    """Write the location of a landed file as the URI of an asset, which is ASCII, and names no connection.

    Names of files are escaped as they are, a `%` too, so that no two files have one URI.
    """
    scheme, _, rest = without_connection(location).partition("://")
    return f"{scheme}://{quote(rest, safe=_AS_IT_IS)}"


def _fit(uri: str, log: Log) -> str:
    short = shortened(uri, MAX_ASSET_CHARS)
    if short != uri:
        log.warning(
            "The URI of the results file is longer than an asset may be, which is %s characters. The asset is called "
            "by its beginning and a digest: %s",
            *(f"{MAX_ASSET_CHARS:,}", short),
        )
    return short
