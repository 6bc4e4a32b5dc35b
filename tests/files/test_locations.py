"""A location is found as a person means it, or refused by name."""

from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.locations import Location, check_directory_name, check_location, located, location_of


@pytest.mark.parametrize(
    ("uri", "rest"), [("~/labels", "/labels"), ("~", ""), ("~/a%20b", "/a%20b")], ids=["path", "home", "bare escapes"]
)
def test_the_home_directory_in_a_bare_path_is_expanded(
    uri: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located(uri) == f"file://{tmp_path}{rest}"


def test_the_home_directory_of_a_named_user_is_expanded() -> None:
    assert located("~root/labels") == f"file://{Path('~root').expanduser()}/labels"


def test_the_home_directory_of_nobody_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'~nobody-of-the-tests/x' names a home directory that is not known here"):
        located("~nobody-of-the-tests/x")


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        pytest.param("file:///a%20b", "file:///a b", id="blank"),
        pytest.param("file:///%E8%AF%84/*.jsonl", "file:///评/*.jsonl", id="Chinese, before a pattern"),
        pytest.param("file:///100%/x", "file:///100%/x", id="no escape"),
        pytest.param("file://localhost/a", "file:///a", id="this machine"),
        pytest.param("file:/a", "file:///a", id="one slash"),
        pytest.param("/a%20b", "file:///a%20b", id="bare path"),
        pytest.param("s3://bucket/a%20b", "s3://bucket/a%20b", id="object storage"),
    ],
)
def test_escapes_are_decoded_in_file_uris_only(uri: str, location: str) -> None:
    assert located(uri) == location


@pytest.mark.parametrize("below", ["", "/new", "/*.jsonl"])
def test_a_path_that_exists_with_its_escapes_wins(below: str, tmp_path: Path) -> None:
    (tmp_path / "a%20b").mkdir()
    assert located(f"file://{tmp_path}/a%20b{below}") == f"file://{tmp_path}/a%20b{below}"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        pytest.param("file://host/a", "names 'host' as a host", id="host"),
        pytest.param("file://./a", "names '.' as a host", id="relative, as many write it"),
        pytest.param("file://~/a", "names '~' as a host", id="home"),
        pytest.param("file:a", "has no absolute path", id="relative"),
        pytest.param("file://", "has no absolute path", id="nothing"),
    ],
)
def test_a_file_uri_of_another_host_or_of_a_relative_path_is_refused_by_name(uri: str, says: str) -> None:
    with pytest.raises(ValueError, match="file://") as caught:
        located(uri)
    assert repr(uri) in str(caught.value)
    assert says in str(caught.value)


def test_locations_compare_without_connection_links_and_spelling(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert location_of(f"{tmp_path}/link/x/../y/") == location_of(f"file://{tmp_path}/real/y")
    assert location_of("s3://conn@bucket/a//b/") == Location("s3://bucket", ("a", "b"))
    assert location_of("s3a://other@bucket/a/b") == location_of("s3://bucket/a/b")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIA:geheim@bucket/labels",
        "s3://AKIA:ge/heim@bucket/labels",
        "S3A://:geheim@bucket",
        "sftp://me:geheim@host:22/labels",
        ObjectStoragePath("memory://AKIA:geheim@bucket/labels"),
    ],
    ids=str,
)
def test_a_password_in_a_location_is_refused_without_repeating_it(uri: Any) -> None:
    with pytest.raises(KimiInputError, match="output holds a name and a password before its host") as caught:
        check_location("output", uri)
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        *("s3://aws_default@bucket/a:b@c", "hdfs://conn@node:8020/a@b:c", "hdfs://node:8020", "hdfs://[::1]:8020/x"),
        *(
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/labels/x",
            "s3://conn@arn:aws:s3:eu-west-1:1:accesspoint/a",
        ),
        *("/data/a:b@c", "file:///a:b@c", "s3://{{ conn.x:y }}@bucket", "s3://bucket", None, ["s3://a:b@c"]),
    ],
    ids=str,
)
def test_a_location_without_a_password_is_taken(location: Any) -> None:
    check_location("output", location)


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x00", "\udcff"], ids=ascii)
def test_a_character_that_no_directory_keeps_is_refused_by_name(character: str) -> None:
    with pytest.raises(KimiInputError, match="which no name of a directory can keep") as caught:
        check_directory_name("output", f"/data/a{character}b", "Nothing was sent.")
    assert f"with the character {character!r}" in str(caught.value)
