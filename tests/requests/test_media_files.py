"""Images and videos of a row: recognised by what they hold, refused with a reason, kept once."""

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.api.limits import MAX_FILE_BYTES, MAX_FILES
from airflow_provider_kimi.choices import MediaTransport
from airflow_provider_kimi.requests.media import (
    MediaKind,
    data_url,
    media_columns,
    media_type,
    placeholder,
    with_file_ids,
)
from airflow_provider_kimi.requests.media_files import MediaShelf
from airflow_provider_kimi.requests.problems import RowProblem

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
MP4 = b"\0\0\0\x18ftypisom" + b"\0" * 8


def shelf(folder: Path, kind: MediaKind = "image", transport: MediaTransport = "base64") -> MediaShelf:
    return MediaShelf({"file": kind}, transport, folder / "media")


def urls(parts: list[dict[str, Any]]) -> list[str]:
    return [part[part["type"]]["url"] for part in parts]


def problem_of(folder: Path, value: object, kind: MediaKind = "image") -> str:
    with pytest.raises(RowProblem) as caught:
        shelf(folder, kind).parts({"file": value})
    return str(caught.value)


@pytest.mark.parametrize(
    ("begin", "found"),
    [
        pytest.param(b"\xff\xd8\xff\xe0", ("image", "image/jpeg"), id="jpeg"),
        pytest.param(PNG, ("image", "image/png"), id="png"),
        pytest.param(b"GIF89a", ("image", "image/gif"), id="gif"),
        pytest.param(b"RIFF\1\2\3\4WEBPVP8 ", ("image", "image/webp"), id="webp"),
        pytest.param(b"BM\1\2", ("image", "image/bmp"), id="bmp"),
        pytest.param(b"\0\0\0\x18ftypheic", ("image", "image/heic"), id="heic"),
        pytest.param(b"\0\0\0\x18ftypmif1", ("image", "image/heif"), id="heif"),
        pytest.param(MP4, ("video", "video/mp4"), id="mp4"),
        pytest.param(b"\0\0\0\x14ftypqt  ", ("video", "video/mov"), id="mov"),
        pytest.param(b"\0\0\0\x14moov", ("video", "video/mov"), id="old mov"),
        pytest.param(b"\0\0\0\x14ftyp3gp4", ("video", "video/3gpp"), id="3gpp"),
        pytest.param(b"RIFF\1\2\3\4AVI LIST", ("video", "video/avi"), id="avi"),
        pytest.param(b"FLV\x01\x05", ("video", "video/x-flv"), id="flv"),
        pytest.param(b"\x1aE\xdf\xa3", ("video", "video/webm"), id="webm"),
        pytest.param(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ("video", "video/wmv"), id="wmv"),
        pytest.param(b"\x00\x00\x01\xba", ("video", "video/mpeg"), id="mpeg"),
    ],
)
def test_a_file_is_recognised_by_its_first_bytes(begin: bytes, found: tuple[str, str]) -> None:
    assert media_type(begin) == found


@pytest.mark.parametrize(
    "begin",
    [
        *(b"", b"%PDF-1.7", b"<svg xmlns=", b"RIFF\1\2\3\4WAVE", b"\x89PN", b"II*\0"),
        *(b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypM4A "),
    ],
)
def test_a_file_that_the_platform_would_refuse_is_not_recognised(begin: bytes) -> None:
    assert media_type(begin) is None


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_a_media_column_may_hold_bytes(make: Any, tmp_path: Path) -> None:
    assert shelf(tmp_path).parts({"file": make(PNG)}) == [
        {"type": "image_url", "image_url": {"url": data_url("image/png", PNG)}}
    ]


def test_a_media_column_may_hold_a_path_or_a_uri(tmp_path: Path) -> None:
    (tmp_path / "名 1.png").write_bytes(PNG)
    path = tmp_path / "名 1.png"
    for value in (str(path), path, f"file://{path}"):
        assert urls(shelf(tmp_path).parts({"file": value})) == [data_url("image/png", PNG)]


def test_a_media_column_may_hold_several_values_or_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    value = [PNG, None, "", str(tmp_path / "a.png"), "ms://file-1"]
    found = urls(shelf(tmp_path).parts({"file": value}))
    assert found == [data_url("image/png", PNG)] * 2 + ["ms://file-1"]
    for nothing in (None, "", [], (), [None]):
        assert shelf(tmp_path).parts({"file": nothing}) == []


@pytest.mark.parametrize("url", ["ms://file-1", "data:image/png;base64,iVBO"])
@pytest.mark.parametrize("transport", ["base64", "upload"])
def test_a_media_column_may_hold_an_address_that_the_platform_knows(
    url: str, transport: MediaTransport, tmp_path: Path
) -> None:
    kept = shelf(tmp_path, "video", transport)
    assert kept.parts({"file": url}) == [{"type": "video_url", "video_url": {"url": url}}]
    assert kept.files == {}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param(MP4, "is video/mp4; use video_column for it", id="a video"),
        pytest.param(b"%PDF-1.7", "is of a format that Kimi does not accept (jpeg, png,", id="another format"),
        pytest.param(b"", "is empty (0 bytes)", id="no bytes"),
        pytest.param("https://a.example/x.png", "is a public http(s) address, which Kimi does not", id="https"),
        pytest.param("HTTP://a.example/x.png", "is a public http(s) address, which Kimi does not", id="HTTP"),
        pytest.param("/absent/x.png", "does not exist (file:///absent/x.png)", id="missing"),
        pytest.param("https-logo.png", "does not exist", id="a path that only looks like an address"),
        pytest.param("iVBORw0KGgo" * 900, "is too long for a path; base64 text begins with data:", id="bare base64"),
        pytest.param("a\0b", "cannot be opened (ValueError)", id="null in the path"),
        pytest.param("nope://a/x.png", "cannot be opened (ValueError)", id="unknown storage"),
        pytest.param("/", "cannot be opened (IsADirectoryError)", id="directory"),
        pytest.param(7, "is a int; it may be a path, a URI or bytes", id="number"),
        pytest.param({"data": PNG}, "is a dict; it may be a path, a URI or bytes", id="struct"),
        pytest.param([PNG, 7], "is a int; it may be a path, a URI or bytes", id="one of several"),
    ],
)
def test_a_value_that_is_not_media_is_refused_with_its_column_and_the_reason(
    value: object, problem: str, tmp_path: Path
) -> None:
    assert problem_of(tmp_path, value).startswith(f"has an image in column 'file' that {problem}")


def test_an_image_in_a_video_column_is_refused_and_a_video_in_an_image_column(tmp_path: Path) -> None:
    expected = "has a video in column 'file' that is image/png; use image_column for it"
    assert problem_of(tmp_path, PNG, "video") == expected


def test_a_value_over_the_size_of_a_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.write(PNG)
        file.truncate(MAX_FILE_BYTES + 1)
    expected = "has an image in column 'file' that is over 100,000,000 bytes"
    assert problem_of(tmp_path, str(tmp_path / "large.png")) == expected
    assert problem_of(tmp_path, PNG + bytes(MAX_FILE_BYTES)) == expected


def test_a_row_has_its_media_in_the_order_of_the_columns(tmp_path: Path) -> None:
    columns = media_columns(["a", "b"], "clip")
    assert columns == {"a": "image", "b": "image", "clip": "video"}
    parts = MediaShelf(columns, "base64", tmp_path).parts({"clip": MP4, "b": "ms://b", "a": [PNG]})
    assert urls(parts) == [data_url("image/png", PNG), "ms://b", data_url("video/mp4", MP4)]


def test_a_row_may_hold_media_in_the_form_of_hugging_face(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(PNG)
    inside, beside = {"bytes": PNG, "path": None}, {"bytes": None, "path": str(tmp_path / "x.png")}
    assert urls(shelf(tmp_path).parts({"file": [inside, beside]})) == [data_url("image/png", PNG)] * 2


def test_a_row_without_the_media_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RowProblem, match=r"^has no media column 'file'$"):
        shelf(tmp_path).parts({"text": "a"})
    with pytest.raises(RowProblem, match=r"^is a str, but media are read from the columns"):
        shelf(tmp_path).parts("a prompt")


@given(content=st.binary())
def test_base64_gives_the_content_back(content: bytes) -> None:
    head, _, encoded = data_url("image/png", content).partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(encoded, validate=True) == content


def test_uploading_keeps_one_file_for_equal_content(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    kept = shelf(tmp_path, transport="upload")
    found = [urls(kept.parts({"file": value})) for value in (PNG, str(tmp_path / "a.png"), [PNG + b"2", PNG])]
    first, second = placeholder(PNG), placeholder(PNG + b"2")
    assert found == [[f"ms://{first}"], [f"ms://{first}"], [f"ms://{second}", f"ms://{first}"]]
    assert {name: (kind, path.read_bytes()) for name, (kind, path) in kept.files.items()} == {
        first: ("image", PNG),
        second: ("image", PNG + b"2"),
    }
    assert sorted(path.name for path in (tmp_path / "media").iterdir()) == sorted([f"{first}.png", f"{second}.png"])


def test_media_beyond_the_files_of_an_account_are_refused_before_the_first_upload(tmp_path: Path) -> None:
    """Known before the first upload, not at the thousandth."""
    kept = shelf(tmp_path, transport="upload")
    kept.parts({"file": [PNG + str(number).encode() for number in range(MAX_FILES)]})
    with pytest.raises(RowProblem, match="that is over the 1000 files that an account may keep; use media='base64'"):
        kept.parts({"file": PNG})
    assert len(kept.parts({"file": PNG + b"7"})) == 1, "one that is kept already may be named again"


A, B = placeholder(b"a").encode(), placeholder(b"b").encode()
IDS = {A[11:]: b"file-aaa", B[11:]: b"file-bbb"}


def test_the_ids_of_uploaded_files_replace_their_placeholders() -> None:
    line = b'["ms://' + A + b'","ms://' + B + b'","ms://' + A + b'"]'
    assert with_file_ids(line, IDS) == b'["ms://file-aaa","ms://file-bbb","ms://file-aaa"]'


def test_the_ids_of_uploaded_files_only_make_a_line_shorter() -> None:
    assert len(A) == 11 + 64


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"no media", b"ms://file-1", b"kimi-media-", b"ms://kimi-media-", b"ms://kimi-media-abc"),
        b"ms://kimi-media-" + b"0" * 64,
        A,
        b"ms://kimi-media-" + A[11:-1],
        b"MS://" + A,
        "ms://kimi-media-评价".encode(),
    ],
)
def test_the_ids_of_uploaded_files_leave_the_text_of_a_row_alone(text: bytes) -> None:
    """A row may hold anything, also text that looks like our own placeholder."""
    assert with_file_ids(text, IDS) == text
    around = text + b' "ms://' + A + b'" ' + text
    assert with_file_ids(around, IDS) == text + b' "ms://file-aaa" ' + text


@given(pieces=st.lists(st.one_of(st.binary(max_size=9), st.sampled_from([b"ms://", b"ms://kimi-media-", A[:40]]))))
def test_the_ids_of_uploaded_files_leave_any_other_bytes_alone(pieces: list[bytes]) -> None:
    text = b"".join(pieces)
    assert with_file_ids(text, IDS) == text
    assert with_file_ids(text, {}) == text
