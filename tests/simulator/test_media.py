"""Which images and videos a row may show, and how it names them."""

import base64
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from airflow_provider_kimi.simulator.media import media_problem
from tests.simulator.conftest import Start
from tests.simulator.wire import UNTIL_COMPLETED, call, finish, line, refused, rows_of, submit, upload

if TYPE_CHECKING:
    from openai import OpenAI

PICTURE = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n").decode()
STORED = {"file_picture": "image", "file_film": "video", "file_rows": "batch", "file_text": "file-extract"}

NO_URLS: list[object] = [None, 7, [], {}, {"uri": PICTURE}, {"url": None}, {"url": {"url": PICTURE}}]


def showing(*urls: object, kind: str = "image_url") -> list[dict[str, Any]]:
    """The messages of a row that shows these, each `url` as it is spelled."""
    parts: list[dict[str, Any]] = [{"type": kind, kind: url} for url in urls]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]}]


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
class TestAnImage:
    @pytest.mark.parametrize("url", ["ms://file_picture", "ms://file_film", PICTURE, "data:;base64,AAAA"])
    def test_an_image_may_be_a_stored_one_or_inline_under_either_spelling_of_its_url(self, kind: str, url: str) -> None:
        assert media_problem(showing(url, {"url": url}, kind=kind), STORED.get) is None

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            *((url, "public URLs are not supported") for url in ("http://x/a.png", "https://x/a.png", "HTTPS://X/A")),
            *((f"ms://{file_id}", file_id) for file_id in ("file_gone", "file_rows", "file_text", "")),
            *((f"data:{rest}", "base64") for rest in ("image/png;base64,@@@@", "image/png;base64,A")),
            *((f"data:{rest}", "base64") for rest in ("image/png,AAAA", "image/png;base64,好", "")),
            *((url, "ms://") for url in ("file:///a.png", "/a.png", "", "file_picture")),
            *((url, "url") for url in NO_URLS),
        ],
    )
    def test_an_image_from_elsewhere_is_refused_with_the_reason(self, kind: str, url: object, reason: str) -> None:
        spellings: list[object] = [url, {"url": url}] if isinstance(url, str) else [url]
        for spelling in spellings:
            problem = media_problem(showing(PICTURE, spelling, kind=kind), STORED.get)
            assert problem is not None
            assert reason in problem
            assert kind in problem

    def test_an_image_is_looked_for_in_every_message(self, kind: str) -> None:
        messages = [*showing(PICTURE, kind=kind), {"role": "assistant", "content": "A cat."}]
        assert media_problem(messages, STORED.get) is None
        assert media_problem([*messages, *showing("https://x/a.png", kind=kind)], STORED.get)

    def test_an_image_is_only_what_a_list_holds_and_never_what_a_text_spells(self, kind: str) -> None:
        text = json.dumps(showing("https://x/a.png", kind=kind)[0]["content"])
        assert media_problem([{"role": "user", "content": text}], STORED.get) is None
        parts = [{"type": "text", "text": "https://x/a.png", kind: "https://x/a.png"}, text, 7, None]
        assert media_problem([{"role": "user", "content": parts}, {}], STORED.get) is None


def test_a_bad_image_fails_its_own_row_only(sim: KimiSimulator, client: "OpenAI") -> None:
    stored = upload(client, b"\x89PNG", "a.png", "image")
    batch = finish(
        sim,
        client,
        line("text"),
        line("public", {"messages": showing({"url": "https://example.com/a.png"})}),
        line("stored", {"messages": showing({"url": f"ms://{stored}"})}),
        line("inline", {"messages": showing(PICTURE)}),
        line("gone", {"messages": showing("ms://file_gone")}),
        line("serialized", {"messages": [{"role": "user", "content": json.dumps(showing("https://x/a.png"))}]}),
    )
    assert batch.status == "completed"
    good = {row["custom_id"] for row in rows_of(sim, batch.output_file_id)}
    bad = {row["custom_id"]: row["error"] for row in rows_of(sim, batch.error_file_id)}
    assert good == {"text", "stored", "inline", "serialized"}
    assert set(bad) == {"public", "gone"}
    assert {error["code"] for error in bad.values()} == {"invalid_request_error"}
    assert "public URLs are not supported" in bad["public"]["message"]


@pytest.mark.parametrize("purpose", ["image", "video"])
def test_a_stored_image_must_last_until_the_batch_ends(sim: KimiSimulator, client: "OpenAI", purpose: str) -> None:
    kept, deleted, deleted_later = (upload(client, b"x", "a.bin", purpose) for _ in range(3))
    rows = [line(name, {"messages": showing(f"ms://{name}")}) for name in (kept, deleted, deleted_later)]
    batch_id = submit(client, *rows)
    sim.advance(UNTIL_COMPLETED - 1)
    client.files.delete(deleted)
    sim.advance(1)
    client.files.delete(deleted_later)
    batch = client.batches.retrieve(batch_id)
    assert [row["custom_id"] for row in rows_of(sim, batch.error_file_id)] == [deleted]
    assert {row["custom_id"] for row in rows_of(sim, batch.output_file_id)} == {kept, deleted_later}


def test_a_chat_call_with_a_bad_image_is_refused_for_the_same_reasons(start: Start) -> None:
    sim, client = start()
    stored = upload(client, b"x", "a.mp4", "video")
    fields: dict[str, Any] = {"model": "kimi-k2.6", "messages": showing(f"ms://{stored}", PICTURE)}
    assert call(sim, "POST", "/chat/completions", fields).status == 200
    fields["messages"] = showing("https://x/a.png")
    status, error_type, message = call(sim, "POST", "/chat/completions", fields).error
    assert (status, error_type) == (400, "invalid_request_error")
    assert "public URLs are not supported" in message


def test_an_uploaded_image_or_video_cannot_be_downloaded(sim: KimiSimulator, client: "OpenAI") -> None:
    for purpose in ("image", "video"):
        file_id = upload(client, b"\x89PNG", "a.png", purpose)
        assert call(sim, "GET", f"/files/{file_id}").json().items() >= {"purpose": purpose, "bytes": 4}.items()
        status, error_type, message = refused(partial(client.files.content, file_id))
        assert (status, error_type) == (400, "invalid_request_error")
        assert purpose in message
        assert sim.file_ids(purpose) == [file_id]
        assert client.files.delete(file_id).deleted
