"""What a peer does otherwise than Kimi, as its own answers show it."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TABLE_HEAD = "| server | lacks, or does otherwise | what works |\n|---|---|---|"

#: What was seen, by the name of the peer.
FACTS: dict[str, list[str]] = {}

STATUSES = ("validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def status_of(url: str, method: str = "GET") -> int:
    """The status that a path answers with."""
    try:
        with urlopen(Request(url, b"" if method == "POST" else None, method=method), timeout=20) as answered:
            return int(answered.status)
    except HTTPError as refused:
        return refused.code


def content_of(url: str, sent: Mapping[str, str] | None = None) -> bytes:
    """What a path answers.

    :param sent: What is posted; None for a read.
    """
    body = json.dumps(sent).encode() if sent else None
    with urlopen(Request(url, body, {"content-type": "application/json"}), timeout=20) as answered:
        content: bytes = answered.read()
        return content


def facts_of(base_url: str, created: Mapping[str, Any], ended: Mapping[str, Any]) -> list[str]:
    """Say what is odd.

    :param created: The batch as its create was answered.
    :param ended: The batch once it has ended.
    """
    found = []
    if (status := status_of(f"{base_url}/users/me/balance")) != 200:
        found.append(f"no balance ({status})")
    if "output_file_id" not in created:
        found.append("fields absent instead of null")
    if created["status"] not in STATUSES:
        found.append(f"status `{created['status']}`")
    if UUID.fullmatch(created["id"]):
        found.append("ids are bare UUIDs")
    if not created.get("expires_at"):
        found.append("no `expires_at`")
    if (window := created["completion_window"]) != "24h":
        found.append(f"`completion_window` is `{window}`")
    for kind in ("output", "error"):
        if (file_id := ended.get(f"{kind}_file_id")) and not content_of(f"{base_url}/files/{file_id}/content"):
            found.append(f"names an {kind} file that is empty")
    found += _odd_lines(content_of(f"{base_url}/files/{ended['output_file_id']}/content"))
    cancel = f"{base_url}/batches/{ended['id']}/cancel"
    found.append(f"cancel of an ended batch: {status_of(cancel, 'POST')}")
    return found


def _odd_lines(output: bytes) -> list[str]:
    found = []
    body = json.loads(output.splitlines()[0])["response"]["body"]
    if isinstance(body, str):
        found.append("`response.body` is a JSON string")
        body = json.loads(body)
    if "choices" not in body:
        found.append("a dry run answers with the request")
    return found
