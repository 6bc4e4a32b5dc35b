"""What an account has: its balance, its files, and the models that its key may use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Self
from urllib.parse import urlsplit

from airflow_provider_kimi.api.catalogue import PRICE_LISTS
from airflow_provider_kimi.api.limits import MAX_FILES, PAGE_SIZE
from airflow_provider_kimi.api.settings import ConnectionSettings
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.records.outside import storable
from airflow_provider_kimi.records.tags import shortened
from airflow_provider_kimi.waiting.pace import seconds_per_request

#: Most models that are named, and most characters of a name.
_MOST_MODELS, _LONGEST_NAME = 50, 100


@dataclass(frozen=True)
class Holdings:
    """What was read of an account, each part for itself, since any may fail.

    :param place: Where the account is: `region`, None behind a gateway; `host`; the `currency` of its balance.
    :param per_request: Seconds that the connection gives each request.
    :param parts: What was read, by part.
    :param errors: Why a part was not read.
    """

    place: Mapping[str, Any]
    per_request: float
    parts: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    def having(self, name: str, part: Mapping[str, Any]) -> Self:
        """Take in a part that was read."""
        return replace(self, parts={**self.parts, name: part})

    def lacking(self, name: str, why: str) -> Self:
        """Take in that a part was not read, and why."""
        return replace(self, errors={**self.errors, name: why})

    @property
    def seconds(self) -> float:
        """How long the connection gives the requests of all parts; the list of files may have several pages."""
        files: int = self.parts.get("files", {}).get("count", 0)
        return (len(PARTS) + files // PAGE_SIZE) * self.per_request

    @property
    def sizes(self) -> Mapping[str, int | None]:
        """Bytes of each file, by its id."""
        sizes: Mapping[str, int | None] = self.parts.get("files", {}).get("sizes", {})
        return sizes

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain JSON, for those who may read the connection."""
        parts = {name: {key: part[key] for key in part if key != "sizes"} for name, part in self.parts.items()}
        return {"place": dict(self.place), "parts": parts, "errors": dict(self.errors)}


def nothing_yet(settings: ConnectionSettings) -> Holdings:
    """Say where the account of a connection is, before anything is read of it."""
    place = {
        "region": settings.region,
        "host": urlsplit(settings.base_url).netloc,
        "currency": PRICE_LISTS[settings.billing_region].currency,
    }
    return Holdings(place, seconds_per_request(settings.requests_per_minute, None))


def _balance(hook: KimiHook) -> dict[str, Any]:
    amount = hook.get_balance().available_balance
    return {"amount": amount if isfinite(amount) else None}


def _files(hook: KimiHook) -> dict[str, Any]:
    page = hook.list_all_files()
    sizes = {file.id: file.bytes for file in page.data}
    return {"count": len(page.data), "is_whole": not page.has_more, "quota": MAX_FILES, "sizes": sizes}


def _models(hook: KimiHook) -> dict[str, Any]:
    models = hook.list_models()
    return {
        "count": len(models),
        "names": [shortened(storable(model.id), _LONGEST_NAME) for model in models[:_MOST_MODELS]],
    }


#: How each part is read. Blocks.
PARTS: Mapping[str, Callable[[KimiHook], dict[str, Any]]] = {"balance": _balance, "files": _files, "models": _models}
