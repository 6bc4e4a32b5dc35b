"""What the wheel and the sdist say of themselves, and hold."""

import json
import re
from email.message import Message
from email.parser import Parser
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import Path as InZip
from zipfile import ZipFile

import jsonschema
import pytest

from airflow_provider_kimi import __version__
from airflow_provider_kimi.get_provider_info import get_provider_info
from tests.packaging.conftest import ROOT, build, run

pytestmark = pytest.mark.timeout(600)

PACKAGE = "airflow_provider_kimi"


@pytest.fixture(scope="module")
def distribution(wheel: Path) -> Distribution:
    (info,) = (path for path in InZip(wheel).iterdir() if path.name.endswith(".dist-info"))
    return PathDistribution(info)


@pytest.fixture(scope="module")
def metadata(distribution: Distribution) -> Message:
    return Parser().parsestr(distribution.read_text("METADATA") or "")


def test_the_wheel_holds_each_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    own = {path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {path.relative_to(ROOT).as_posix() for path in own}
    assert {f"{PACKAGE}/py.typed", f"{PACKAGE}/ui/page/index.html"} <= packed


def test_the_license_and_its_file_are_named(metadata: Message, wheel: Path) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    name = metadata["License-File"]
    packed = ZipFile(wheel).read(f"airflow_provider_kimi-{__version__}.dist-info/licenses/{name}").decode()
    assert packed == (ROOT / "LICENSE").read_text()


def test_there_is_one_version(wheel: Path, sdist: Path, metadata: Message) -> None:
    assert metadata["Version"] == __version__
    assert wheel.name == f"airflow_provider_kimi-{__version__}-py3-none-any.whl"
    assert sdist.name == f"airflow_provider_kimi-{__version__}.tar.gz"
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_each_entry_point_is_there_in_the_code(distribution: Distribution) -> None:
    found: dict[str, EntryPoint] = {point.group: point for point in distribution.entry_points}
    assert found["apache_airflow_provider"].load() is get_provider_info
    assert found["airflow.plugins"].load().name


def test_the_package_index_is_shown_no_link_that_leads_nowhere_there(metadata: Message) -> None:
    text = str(metadata.get_payload())
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    own = [link for link in links if f"/v{__version__}/" in link]
    assert [link for link in own if not (ROOT / link.split(f"/v{__version__}/")[1].partition("#")[0]).exists()] == []


def test_a_strict_index_takes_both(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    from twine.commands.check import check

    assert check([str(wheel), str(sdist)], strict=True) is False


def test_two_builds_from_two_places_give_the_same_bytes(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    run("tar", "-xzf", sdist, "-C", tmp_path, cwd=tmp_path)
    (tmp_path / sdist.name.removesuffix(".tar.gz")).rename(source)
    (source / "PKG-INFO").unlink()
    build(tmp_path / "dist", source)
    for first in (wheel, sdist):
        assert (tmp_path / "dist" / first.name).read_bytes() == first.read_bytes(), first.name


def test_airflows_schema_takes_what_the_provider_says_of_itself() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)
    assert get_provider_info()["package-name"] == "airflow-provider-kimi"


def named_in(info: Any) -> set[str]:
    """Every import path that provider info names."""
    if isinstance(info, dict):
        return {path for value in info.values() for path in named_in(value)}
    if isinstance(info, list):
        return {path for value in info for path in named_in(value)}
    return {info} if isinstance(info, str) and info.startswith(f"{PACKAGE}.") else set()


def test_whatever_provider_info_names_is_there() -> None:
    paths = named_in(get_provider_info())
    assert len(paths) > 10
    for path in sorted(paths):
        try:
            import_module(path)
        except ModuleNotFoundError:
            module, _, name = path.rpartition(".")
            assert hasattr(import_module(module), name), path
