"""Outlets: the asset events of a task carry a summary of the result that it landed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from airflow_provider_kimi.compat import Asset, AssetAlias, Context
from airflow_provider_kimi.records.manifest import Manifest


def report_to_outlets(outlets: Iterable[Any], context: Context, manifest: Manifest) -> None:
    """Put a summary of the manifest into the event of each outlet that is an asset.

    An alias turns the results file into an asset.
    """
    summary = manifest.to_event()
    for outlet in outlets:
        with suppress(TypeError):  # an outlet that is not an asset has no event
            event = context["outlet_events"][outlet]
            if isinstance(outlet, AssetAlias) and (uri := manifest.results_file):
                event.add(Asset(uri), extra=summary)
            else:
                event.extra = {**event.extra, **summary}
