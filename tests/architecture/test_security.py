"""SECURITY.md promises nothing without a test, and nothing that is stored is unpickled."""

import re

from tests.architecture.modules import PACKAGE
from tests.support.documents import ROOT

PROMISES = (
    (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("## What the provider promises")[1].split("\n## ")[0]
)


def test_each_promise_names_tests_that_exist() -> None:
    promises = re.split(r"^- ", PROMISES, flags=re.MULTILINE)[1:]
    assert len(promises) > 8
    for promise in promises:
        named = re.findall(r"`(tests/[\w/.]+)`", promise)
        assert named, f"no test shows this: {promise}"
        for name in named:
            assert "def test_" in (ROOT / name).read_text(encoding="utf-8")


def test_no_module_unpickles() -> None:
    loads = re.compile(r"\b(?:import|from) (?:pickle|cloudpickle|dill|marshal|shelve)\b|\beval\(|\bexec\(")
    assert not [path for path in PACKAGE.rglob("*.py") if loads.search(path.read_text(encoding="utf-8"))]


def test_no_module_switches_verification_of_certificates_off() -> None:
    off = re.compile(r"verify\s*=\s*False|\bCERT_NONE\b|_create_unverified_context|check_hostname\s*=\s*False")
    assert not [path for path in PACKAGE.rglob("*.py") if off.search(path.read_text(encoding="utf-8"))]
