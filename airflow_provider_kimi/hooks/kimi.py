"""The hook: one Airflow connection, and one method for each call of the API.

It sends and translates. It repeats nothing but a list whose page size is refused. The SDK's own retries are off,
because a repeated `POST /batches` is a second paid batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from airflow_provider_kimi.api import models
from airflow_provider_kimi.api.errors import decode, translated
from airflow_provider_kimi.api.ids import checked_id, in_path
from airflow_provider_kimi.api.limits import BATCH_ENDPOINT, PAGE_SIZE
from airflow_provider_kimi.api.settings import ConnectionSettings, read_settings
from airflow_provider_kimi.compat import BaseHook
from airflow_provider_kimi.exceptions import KimiApiError, KimiError, KimiNoAnswerError
from airflow_provider_kimi.hooks.arrived import Arrived, sent_in_words
from airflow_provider_kimi.hooks.call import UNCHANGED, Call, asking, cancelling, knowing_lists, listing, reading
from airflow_provider_kimi.hooks.deadline import Limit, limited, within_limit
from airflow_provider_kimi.hooks.findings import account_in_words, models_in_words
from airflow_provider_kimi.hooks.lookup import looking_up
from airflow_provider_kimi.hooks.page_size import PageSize
from airflow_provider_kimi.hooks.shared_clients import borrow, build_later, give_back

if TYPE_CHECKING:
    from airflow_provider_kimi.hooks.clients import AsyncKimiClient, KimiClient, PlatformClock

T = TypeVar("T")

#: Longest wait for the answer of a poll.
POLL_TIMEOUT_SECONDS = 30.0

#: Longest wait for the answer of a chat call: the platform itself gives up after 900 s.
CHAT_TIMEOUT_SECONDS = 930.0

#: Most pages of a list of files that are read; an account has 1,000 files.
MOST_FILE_PAGES = 200

#: Bytes of a file that have to come or go within the connection's timeout.
PROGRESS_BYTES = 1 << 14


class KimiHook(BaseHook):
    """Talk to the Kimi (Moonshot AI) open platform with an Airflow connection of type ``kimi``.

    Every method raises :class:`~airflow_provider_kimi.exceptions.KimiApiError` if the platform refuses the call, and
    :class:`~airflow_provider_kimi.exceptions.KimiNoAnswerError` if no answer comes. None retries.

    :param kimi_conn_id: Airflow connection: its password is the API key, its host may override the base URL.
    """

    conn_name_attr = "kimi_conn_id"
    default_conn_name = "kimi_default"
    conn_type = "kimi"
    hook_name = "Kimi (Moonshot AI)"

    def __init__(self, kimi_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.kimi_conn_id = kimi_conn_id
        self._settings: ConnectionSettings | None = None
        self._built: tuple[ConnectionSettings, KimiClient] | None = None
        self._borrowed: tuple[ConnectionSettings, AsyncKimiClient] | None = None
        self._clock: PlatformClock | None = None
        self._page_size = PageSize()

    # The connection

    @property
    def settings(self) -> ConnectionSettings:
        """The connection, read once.

        :raises KimiConnectionConfigError: It does not exist, or a field is missing or wrong.
        """
        settings = self._settings
        if settings is None:
            with looking_up(self.kimi_conn_id):
                connection = self.get_connection(self.kimi_conn_id)
            settings = self._settings = self._read(connection)
        return settings

    async def _asettings(self) -> ConnectionSettings:
        from airflow.providers.common.compat.connection import get_async_connection

        settings = self._settings
        if settings is None:
            with looking_up(self.kimi_conn_id):
                connection = await get_async_connection(self.kimi_conn_id)
            settings = self._settings = self._read(connection)
        return settings

    def _read(self, connection: Any) -> ConnectionSettings:
        names = ("host", "port", "schema", "login", "password", "extra")  # not Airflow's reading of the extra
        return read_settings(self.kimi_conn_id, **{name: getattr(connection, name) for name in names})

    @property
    def requests_per_minute(self) -> float | None:
        """How many requests waits may send over this connection; None if it does not say, or is not read yet."""
        return self._settings.requests_per_minute if self._settings else None

    def renew(self) -> None:
        """Read the connection again before the next call; if it has changed, that call gets a new client.

        Other threads may make calls meanwhile.
        """
        self._settings = None

    # The clients

    def get_conn(self) -> KimiClient:
        """Return the SDK's client for this connection.

        It retries nothing, follows no redirect, keeps to the connection's timeout, and takes nothing from the SDK's
        environment variables.
        """
        from airflow_provider_kimi.hooks.clients import build_client

        if self._built is None or self._built[0] != self.settings:
            self._built = (self.settings, build_client(self.settings))
        self._clock = self._built[1].clock
        return self._built[1]

    async def aget_conn(self) -> AsyncKimiClient:
        """Return the async client, looked up and built off the event loop.

        All hooks of one connection share it within an event loop; it is closed when the last one calls `aclose`.
        """
        settings = await self._asettings()
        if self._borrowed is not None and self._borrowed[0] != settings:
            await self.aclose()
        if self._borrowed is None:
            return self._keep(settings, await borrow(settings, build_later))
        self._clock = self._borrowed[1].clock
        return self._borrowed[1]

    def _keep(self, settings: ConnectionSettings, client: AsyncKimiClient) -> AsyncKimiClient:
        if self._borrowed is None:
            self._borrowed = (settings, client)
            self._clock = client.clock
        else:  # another call of this hook was faster
            give_back(settings)
        return self._borrowed[1]

    @property
    def clock_skew_seconds(self) -> float | None:
        """Platform time minus local time, by the ``Date`` of the last answer; None before an answer that had one."""
        return self._clock.skew_seconds if self._clock else None

    def close(self) -> None:
        """Close the client, if one was opened; the next call opens another."""
        if self._built is not None:
            (_, client), self._built = self._built, None
            client.close()

    async def aclose(self) -> None:
        """Give the async client back, if one was opened."""
        if self._borrowed is not None:
            settings, self._borrowed = self._borrowed[0], None
            if (closing := give_back(settings)) is not None:
                await asyncio.shield(closing)

    def _send(self, call: Call[T]) -> T:
        client = self.get_conn()  # before the time begins: building it may take as long as a short timeout
        with self._sending(call, client) as arguments, limited(Limit(self._seconds(call))):
            answer: bytes = getattr(client, call.method)(call.path, **arguments)
            return call.read(self.settings, answer)

    async def _asend(self, call: Call[T]) -> T:
        client = await self.aget_conn()
        with self._sending(call, client) as arguments:
            answer: bytes = await getattr(client, call.method)(call.path, **arguments)
            return call.read(self.settings, answer)

    def _seconds(self, call: Call[T]) -> float:
        seconds = max(self.settings.timeout_seconds, call.seconds or 0.0)
        return within_limit(min(seconds, POLL_TIMEOUT_SECONDS) if call.is_poll else seconds)

    @contextmanager
    def _sending(self, call: Call[T], client: KimiClient | AsyncKimiClient) -> Iterator[dict[str, Any]]:
        from airflow_provider_kimi.hooks.clients import timeout_of

        seconds = self._seconds(call)
        options = {"timeout": timeout_of(seconds), "params": call.params}
        with (
            knowing_lists(call, self.settings),
            translated(self.settings, call.action, call.unanswered, seconds, client.proxy, call.messages),
        ):
            yield {"cast_to": bytes, "options": options} | ({"body": call.body} if call.body else {})

    @contextmanager
    def _moving(self, action: str, unanswered: str, how_far: Callable[[], str]) -> Iterator[KimiClient]:
        """Send or receive a file with the client that is given, for as long as it moves."""
        client = self.get_conn()
        limit = Limit(self.settings.timeout_seconds, per_bytes=PROGRESS_BYTES)
        try:
            with translated(self.settings, action, unanswered, proxy=client.proxy), limited(limit):
                yield client
        except KimiNoAnswerError as error:
            raise error.saying(f"{error} {how_far()}".strip()) from error.__cause__

    def test_connection(self) -> tuple[bool, str]:
        """Say whether the key works on its host, by asking for the models, and what else there is to see.

        Airflow's test button calls this under an id that it makes up, so no sentence names the connection.
        """
        try:
            found = self.list_models()
        except KimiError as error:
            name = repr(self.kimi_conn_id)
            said = str(error).replace(f"Connection {name}", "This connection")
            return False, said.replace(f"of connection {name}", "of this connection")
        account = account_in_words(self.settings, self.get_balance, self.list_all_files)
        return True, f"{models_in_words(self.settings, found)} {account}"

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
        action = f"uploading {filename!r}"
        kind = ("application/jsonl",) if filename.endswith(".jsonl") else ()
        unanswered = "The file may have been stored; storage is not billed."
        with self._moving(action, unanswered, lambda: sent_in_words(content)) as client:
            reply = client.files.with_raw_response.create(
                file=cast(Any, (filename, content, *kind)), purpose=cast(Any, purpose)
            )
            return decode(self.settings, action, reply.content, models.RemoteFile)

    def list_files(self) -> list[models.RemoteFile]:
        """List the account's files, as far as the platform shows them; see `list_all_files`."""
        return self.list_all_files().data

    def list_all_files(self) -> models.FilePage:
        """List the account's files as one page; `has_more` says whether there are some that could not be seen.

        The platform documents no paging, but may say that there are more files.
        """
        found: dict[str, models.RemoteFile] = {}
        params: dict[str, str] = {}
        for _ in range(MOST_FILE_PAGES):
            page = self._send(Call("get", "/files", "listing files", models.FilePage, params=params))
            is_new = any(file.id not in found for file in page.data)
            found.update((file.id, file) for file in page.data)
            if not page.has_more or not is_new:
                break
            params = {"after": page.data[-1].id}
        return models.FilePage(list(found.values()), page.has_more)

    def download_file(self, file_id: str, target: BinaryIO, arrived: Arrived | None = None) -> int:
        """Stream a file's content into ``target`` and return how many bytes it has by now.

        :param arrived: What earlier calls have brought into the same target, which can seek: only the rest is asked
            for, and the platform may send it or the whole file. None asks for the whole file.
        """
        known = arrived or Arrived()
        with (
            self._moving(f"downloading file {file_id!r}", UNCHANGED, known.in_words) as client,
            client.files.with_streaming_response.content(checked_id(file_id), extra_headers=known.headers) as reply,
        ):
            known.begin(reply.status_code, reply.headers)
            if arrived is not None:
                target.seek(known.size)
                target.truncate()
            for chunk in reply.iter_bytes():  # as they come: what is gathered is lost if it breaks off
                target.write(chunk)
                known.take(chunk)
        known.end()
        return known.size

    def delete_file(self, file_id: str) -> bool:
        """Delete a file for good."""
        path, action = f"/files/{in_path(file_id)}", f"deleting file {file_id!r}"
        return self._send(Call("delete", path, action, models.DeletedFile, "The file may be gone.")).deleted

    # Batches

    def create_batch(
        self, input_file_id: str, *, completion_window: str = "24h", metadata: Mapping[str, str] | None = None
    ) -> models.Batch:
        """Create a batch: from here on, money is spent. Sent exactly once.

        :param input_file_id: A file uploaded with purpose ``batch``.
        :param completion_window: ``12h`` to ``7d``.
        :param metadata: At most 16 pairs of short strings; None for none.
        """
        unanswered = (
            "Whether the batch exists, and is billed, is unknown. Look on the console for a batch of this input "
            "file before you submit again."
        )
        action = f"creating a batch from file {input_file_id!r}"
        body: dict[str, Any] = {"input_file_id": input_file_id, "endpoint": BATCH_ENDPOINT}
        body |= {"completion_window": completion_window, **({"metadata": dict(metadata)} if metadata else {})}
        return self._send(Call("post", "/batches", action, models.Batch, unanswered, body))

    def get_batch(self, batch_id: str) -> models.Batch:
        """Read a batch."""
        return self._send(reading(batch_id))

    async def aget_batch(self, batch_id: str) -> models.Batch:
        """Read a batch without blocking the event loop."""
        return await self._asend(reading(batch_id))

    def list_batches(self, *, after: str | None = None, limit: int | None = PAGE_SIZE) -> models.BatchPage:
        """Read one page of batches.

        A limit that the platform refuses is left out, from then on too, and the page has its own size.

        :param after: Id of the last batch seen; None for the first page.
        :param limit: Batches a page; None for the platform's own size.
        """
        try:
            page = self._send(listing(after, self._page_size.of(limit)))
        except KimiApiError as error:
            if not self._page_size.may_explain(error, limit):
                raise
            page = self._send(listing(after, None))
            self._page_size.is_refused()
        self._page_size.is_taken()
        return page

    async def alist_batches(self, *, after: str | None = None, limit: int | None = PAGE_SIZE) -> models.BatchPage:
        """Read one page of batches without blocking the event loop; see `list_batches`."""
        try:
            page = await self._asend(listing(after, self._page_size.of(limit)))
        except KimiApiError as error:
            if not self._page_size.may_explain(error, limit):
                raise
            page = await self._asend(listing(after, None))
            self._page_size.is_refused()
        self._page_size.is_taken()
        return page

    def cancel_batch(self, batch_id: str) -> models.Batch:
        """Ask for a cancel; rows that are already running still end, and are billed."""
        return self._send(cancelling(batch_id))

    async def acancel_batch(self, batch_id: str) -> models.Batch:
        """Ask for a cancel without blocking the event loop."""
        return await self._asend(cancelling(batch_id))

    # Ordinary chat calls

    async def achat(self, body: Mapping[str, Any], seconds: float = CHAT_TIMEOUT_SECONDS) -> models.Completion:
        """Ask the model now, at the standard price, without blocking the event loop.

        :param body: Of the request, as a line of a batch holds it.
        :param seconds: How long the platform may take, if that is longer than the connection's timeout.
        """
        return await self._asend(asking(body, seconds))

    # The account

    def list_models(self) -> list[models.Model]:
        """List the models that the key may use; the platform does not say which can be batched."""
        return self._send(Call("get", "/models", "listing models", models.Envelope[list[models.Model]])).data

    def get_balance(self) -> models.Balance:
        """Read the money left: yuan in region ``cn``, US dollars in ``intl``."""
        reply = models.Envelope[models.Balance]
        return self._send(Call("get", "/users/me/balance", "reading the balance", reply)).data

    def estimate_tokens(self, messages: Sequence[Mapping[str, Any]], model: str | None = None) -> int:
        """Estimate the prompt tokens of chat messages; tools are not counted.

        :param messages: As in a chat completion.
        :param model: None for the connection's model.
        """
        body = {"model": model or self.settings.model, "messages": messages}
        path, reply = "/tokenizers/estimate-token-count", models.Envelope[models.TokenCount]
        return self._send(Call("post", path, "estimating tokens", reply, body=body)).data.total_tokens

    # The form on Airflow below 3.2; from 3.2 on it comes from get_provider_info.py

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Name the fields of the connection form."""
        from airflow_provider_kimi.get_provider_info import UI_FIELD_BEHAVIOUR

        return UI_FIELD_BEHAVIOUR

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Add the provider's own fields to the connection form."""
        from airflow_provider_kimi.get_provider_info import connection_form_widgets

        return connection_form_widgets()
