"""The hook: one Airflow connection, one short method per call of the API.

It sends and translates; it decides nothing and repeats nothing. The SDK's own retries are off: a repeated
`POST /batches` would be a second paid batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from io import IOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_kimi.api import models
from airflow_provider_kimi.api.errors import decode, translated
from airflow_provider_kimi.api.ids import checked_id
from airflow_provider_kimi.api.limits import BATCH_ENDPOINT
from airflow_provider_kimi.api.settings import ConnectionSettings, read_settings
from airflow_provider_kimi.compat import AirflowNotFoundException, BaseHook
from airflow_provider_kimi.exceptions import KimiConnectionConfigError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.shared_clients import borrow, give_back

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI, Timeout

#: Seconds to wait for a TCP connection; a host that is up answers in milliseconds.
CONNECT_TIMEOUT_SECONDS = 10.0

#: Longest wait for the answer of a call that reads batches; each such call is repeated soon.
READ_TIMEOUT_SECONDS = 30.0

#: Bytes read at once while a file is downloaded.
DOWNLOAD_CHUNK_BYTES = 1 << 18

_NOTHING = "Nothing was changed by this call."
_MAY_BE_CANCELLING = "The batch may be cancelling, or still running and billed."


class KimiHook(BaseHook):
    """Talk to the Kimi (Moonshot AI) open platform with an Airflow connection of type ``kimi``.

    Every method raises :class:`~airflow_provider_kimi.exceptions.KimiApiError` where the platform says no and
    :class:`~airflow_provider_kimi.exceptions.KimiNoAnswerError` where no answer came; none retries.

    :param kimi_conn_id: Airflow connection: its password is the API key, its host may override the base URL.
    """

    conn_name_attr = "kimi_conn_id"
    default_conn_name = "kimi_default"
    conn_type = "kimi"
    hook_name = "Kimi (Moonshot AI)"

    def __init__(self, kimi_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.kimi_conn_id = kimi_conn_id
        self._built: tuple[ConnectionSettings, OpenAI] | None = None
        self._borrowed: tuple[ConnectionSettings, AsyncOpenAI] | None = None

    # The connection

    @cached_property
    def settings(self) -> ConnectionSettings:
        """The connection, read once.

        :raises KimiConnectionConfigError: It does not exist, or a field is missing or wrong.
        """
        with self._looking_up():
            connection = self.get_connection(self.kimi_conn_id)
        return self._read(connection, connection.extra_dejson)

    async def _asettings(self) -> ConnectionSettings:
        from airflow.providers.common.compat.connection import get_async_connection

        if "settings" not in self.__dict__:
            with self._looking_up():
                connection = await get_async_connection(self.kimi_conn_id)
            extra = await asyncio.to_thread(lambda: connection.extra_dejson)
            self.__dict__["settings"] = self._read(connection, extra)
        return self.settings

    def _read(self, connection: Any, extra: Mapping[str, Any]) -> ConnectionSettings:
        return read_settings(
            self.kimi_conn_id,
            host=connection.host,
            port=connection.port,
            password=connection.password,
            extra=extra,
        )

    @property
    def requests_per_minute(self) -> float | None:
        """What waits may send over this connection; None if it says nothing, or was not read yet."""
        read: ConnectionSettings | None = self.__dict__.get("settings")
        return read.requests_per_minute if read else None

    def renew(self) -> None:
        """Read the connection anew before the next call; if it was changed, that call gets a client of its own."""
        self.__dict__.pop("settings", None)

    @contextmanager
    def _looking_up(self) -> Iterator[None]:
        try:
            yield
        except AirflowNotFoundException:
            raise KimiConnectionConfigError(
                f"There is no Airflow connection {self.kimi_conn_id!r} in reach of this process. Nothing was sent. "
                "Create one of type 'kimi' with an API key, or pass the id of another one as kimi_conn_id."
            ) from None
        except Exception as error:  # whatever a secrets backend raises; its text may hold secrets
            raise KimiNoAnswerError(
                f"Airflow could not look up the connection {self.kimi_conn_id!r} ({type(error).__name__}). Nothing was "
                "sent; batches go on as they were. Check Airflow's API server and secrets backend if this lasts."
            ) from None

    @property
    def _client(self) -> OpenAI:
        from openai import OpenAI

        if self._built is None or self._built[0] != self.settings:
            self._built = (self.settings, OpenAI(**self._client_options(self.settings)))
        return self._built[1]

    @staticmethod
    def _client_options(settings: ConnectionSettings) -> dict[str, Any]:
        from openai import Omit, Timeout

        _quieten_http_client()
        return {
            "api_key": settings.api_key,
            "base_url": settings.base_url,
            "max_retries": 0,
            "timeout": Timeout(settings.timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
            # An OPENAI_ORG_ID or OPENAI_PROJECT_ID of the worker is nobody's business here.
            "default_headers": {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()},
        }

    def get_conn(self) -> OpenAI:
        """Return the SDK's client for this connection: no transport retries, the connection's timeout."""
        return self._client

    async def aget_conn(self) -> AsyncOpenAI:
        """Return the async client, looked up and built off the event loop.

        All hooks of one connection share it within an event loop; it is closed when the last one calls `aclose`.
        """
        settings = await self._asettings()
        if self._borrowed is not None and self._borrowed[0] != settings:
            await self.aclose()
        if self._borrowed is None:
            return self._keep(settings, await borrow(settings, self._build_async_client))
        return self._borrowed[1]

    def _keep(self, settings: ConnectionSettings, client: AsyncOpenAI) -> AsyncOpenAI:
        if self._borrowed is None:
            self._borrowed = (settings, client)
        else:  # another call of this hook was faster
            give_back(settings)
        return self._borrowed[1]

    def _build_async_client(self, settings: ConnectionSettings) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        return AsyncOpenAI(**self._client_options(settings))

    async def aclose(self) -> None:
        """Leave the async client to the others, if one was opened."""
        if self._borrowed is not None:
            settings, self._borrowed = self._borrowed[0], None
            if (closing := give_back(settings)) is not None:
                await asyncio.shield(closing)

    def test_connection(self) -> tuple[bool, str]:
        """Tell in one sentence whether the key works on its host, by asking for the models."""
        try:
            found = self.list_models()
        except KimiError as error:
            return False, str(error)
        names = ", ".join(model.id for model in found[:5])
        return True, f"{self.settings.base_url} accepts the key; it may use {len(found)} models ({names})."

    # Files

    def upload_file(
        self, content: Path | IOBase | IO[bytes], filename: str, purpose: str = "batch"
    ) -> models.RemoteFile:
        """Upload a local file.

        :param content: A path, or a file that is open and can seek; streamed from disk.
        :param filename: Name on the platform; a batch input must end in ``.jsonl``.
        :param purpose: ``batch``, ``file-extract``, ``image`` or ``video``.
        """
        if isinstance(content, Path):
            with content.open("rb") as opened:
                return self.upload_file(opened, filename, purpose)
        action = f"the upload of {filename!r}"
        kind = ("application/jsonl",) if filename.endswith(".jsonl") else ()
        with translated(self.settings, action, "The file may have been stored; storage is not billed."):
            reply = self._client.files.with_raw_response.create(
                file=cast(Any, (filename, content, *kind)),
                purpose=cast(Any, purpose),
            )
            return decode(self.settings, action, reply.content, models.RemoteFile)

    def list_files(self) -> list[models.RemoteFile]:
        """List the account's files; the platform documents no paging."""
        action = "listing files"
        with translated(self.settings, action, _NOTHING):
            reply = self._client.files.with_raw_response.list()
            return decode(self.settings, action, reply.content, models.FilePage).data

    def download_file(self, file_id: str, target: BinaryIO) -> int:
        """Stream a file's content into ``target`` and return how many bytes came."""
        size = 0
        with (
            translated(self.settings, f"downloading file {file_id!r}", _NOTHING),
            self._client.files.with_streaming_response.content(checked_id(file_id)) as reply,
        ):
            for chunk in reply.iter_bytes(DOWNLOAD_CHUNK_BYTES):
                size += target.write(chunk)
        return size

    def delete_file(self, file_id: str) -> bool:
        """Delete a file for good."""
        action = f"deleting file {file_id!r}"
        with translated(self.settings, action, "The file may be gone."):
            reply = self._client.files.with_raw_response.delete(checked_id(file_id))
            return decode(self.settings, action, reply.content, models.DeletedFile).deleted

    # Batches

    def create_batch(
        self, input_file_id: str, *, completion_window: str = "24h", metadata: Mapping[str, str] | None = None
    ) -> models.Batch:
        """Create a batch: from here on, money is spent. Sent exactly once.

        :param input_file_id: A file uploaded with purpose ``batch``.
        :param completion_window: ``12h`` to ``7d``.
        :param metadata: At most 16 pairs of short strings; None for none.
        """
        action = f"creating a batch from file {input_file_id!r}"
        unanswered = (
            "Whether the batch exists, and is billed, is unknown. Look on the console for a batch of this input "
            "file before you submit again."
        )
        from openai import omit

        with translated(self.settings, action, unanswered):
            reply = self._client.batches.with_raw_response.create(
                input_file_id=input_file_id,
                endpoint=cast(Any, BATCH_ENDPOINT),
                completion_window=cast(Any, completion_window),
                metadata=dict(metadata) if metadata else omit,
            )
            return decode(self.settings, action, reply.content, models.Batch)

    def get_batch(self, batch_id: str) -> models.Batch:
        """Read a batch."""
        with self._reading(f"reading batch {batch_id!r}", _STILL_RUNNING) as (action, timeout):
            reply = self._client.batches.with_raw_response.retrieve(checked_id(batch_id), timeout=timeout)
            return decode(self.settings, action, reply.content, models.Batch)

    async def aget_batch(self, batch_id: str) -> models.Batch:
        """Read a batch without blocking the event loop."""
        client = await self.aget_conn()
        with self._reading(f"reading batch {batch_id!r}", _STILL_RUNNING) as (action, timeout):
            reply = await client.batches.with_raw_response.retrieve(checked_id(batch_id), timeout=timeout)
            return decode(self.settings, action, reply.content, models.Batch)

    def list_batches(self, *, after: str | None = None, limit: int = 100) -> models.BatchPage:
        """Read one page of batches.

        :param after: Id of the last batch seen; None for the first page.
        :param limit: Batches a page.
        """
        with self._reading("listing batches", _NOTHING) as (action, timeout):
            reply = self._client.batches.with_raw_response.list(**_page(after, limit), timeout=timeout)
            return decode(self.settings, action, reply.content, models.BatchPage)

    async def alist_batches(self, *, after: str | None = None, limit: int = 100) -> models.BatchPage:
        """Read one page of batches without blocking the event loop; see `list_batches`."""
        client = await self.aget_conn()
        with self._reading("listing batches", _NOTHING) as (action, timeout):
            reply = await client.batches.with_raw_response.list(**_page(after, limit), timeout=timeout)
            return decode(self.settings, action, reply.content, models.BatchPage)

    @contextmanager
    def _reading(self, action: str, unanswered: str) -> Iterator[tuple[str, Timeout]]:
        from openai import Timeout

        seconds = min(self.settings.timeout_seconds, READ_TIMEOUT_SECONDS)
        with translated(self.settings, action, unanswered, seconds):
            yield action, Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT_SECONDS))

    def cancel_batch(self, batch_id: str) -> models.Batch:
        """Ask for a cancel; rows already running still end, and are billed."""
        action = f"cancelling batch {batch_id!r}"
        with translated(self.settings, action, _MAY_BE_CANCELLING):
            reply = self._client.batches.with_raw_response.cancel(checked_id(batch_id))
            return decode(self.settings, action, reply.content, models.Batch)

    async def acancel_batch(self, batch_id: str) -> models.Batch:
        """Ask for a cancel without blocking the event loop."""
        client = await self.aget_conn()
        action = f"cancelling batch {batch_id!r}"
        with translated(self.settings, action, _MAY_BE_CANCELLING):
            reply = await client.batches.with_raw_response.cancel(checked_id(batch_id))
            return decode(self.settings, action, reply.content, models.Batch)

    # The account

    def list_models(self) -> list[models.Model]:
        """List the models that the key may use; nothing tells which can be batched."""
        action = "listing models"
        with translated(self.settings, action, _NOTHING):
            reply = self._client.models.with_raw_response.list()
            return decode(self.settings, action, reply.content, models.ModelList).data

    def get_balance(self) -> models.Balance:
        """Read the money left: yuan in region ``cn``, US dollars in ``intl``."""
        action = "reading the balance"
        with translated(self.settings, action, _NOTHING):
            reply = self._client.get("/users/me/balance", cast_to=bytes)
            return decode(self.settings, action, reply, models.BalanceReply).data

    def estimate_tokens(self, messages: Sequence[Mapping[str, Any]], model: str | None = None) -> int:
        """Estimate the prompt tokens of chat messages; tools are not counted.

        :param messages: As in a chat completion.
        :param model: None for the connection's model.
        """
        action = "estimating tokens"
        body = {"model": model or self.settings.model, "messages": messages}
        with translated(self.settings, action, _NOTHING):
            reply = self._client.post("/tokenizers/estimate-token-count", cast_to=bytes, body=body)
            return decode(self.settings, action, reply, models.TokenCountReply).data.total_tokens

    # The form on Airflow below 3.2; from 3.2 on it comes from get_provider_info.py

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Name the fields of the connection form."""
        from airflow_provider_kimi.get_provider_info import UI_FIELD_BEHAVIOUR

        return UI_FIELD_BEHAVIOUR

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Add the provider's own fields to the connection form."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import StringField

        from airflow_provider_kimi.get_provider_info import CONNECTION_FIELDS

        return {
            name: StringField(
                lazy_gettext(field["label"]), widget=BS3TextFieldWidget(), description=field["description"]
            )
            for name, field in CONNECTION_FIELDS.items()
        }


_STILL_RUNNING = "The batch is not touched by this: it goes on as it was."


def _page(after: str | None, limit: int) -> dict[str, Any]:
    return {"limit": limit} | ({"after": after} if after else {})


def _quieten_http_client() -> None:
    """Keep a line for each poll out of task logs, unless it was asked for; Airflow does so for httpx only."""
    client_log = logging.getLogger("httpx2")
    if client_log.level == logging.NOTSET:
        client_log.setLevel(logging.WARNING)
