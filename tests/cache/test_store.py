"""What is kept is found again: by its request, the newest first, whole or not at all."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_kimi.cache.store import AnswerCache, CacheCounts, Found
from airflow_provider_kimi.exceptions import KimiInputError

A, B, C = (bytes([number]) * 16 for number in range(3))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def keep(place: Path, name: str, answers: Iterable[tuple[bytes, bytes]]) -> None:
    with AnswerCache(str(place)).writer(name) as kept:
        for digest, answer in answers:
            kept.add(digest, answer)


def found(place: Path, *wanted: bytes, max_age: timedelta | None = None) -> list[Found]:
    return list(AnswerCache(str(place), max_age).find((set(wanted) or {A, B, C}).__contains__))


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def make_older(place: Path, days: int) -> None:
    """Rename every file as if it had been written some days earlier."""
    for path in list(place.iterdir()):
        kind, time, *rest = path.name.split("-")
        path.rename(place / "-".join([kind, f"2026{days:04}T000000Z", *rest]))


def test_answers_are_found_by_their_requests(place: Path) -> None:
    keep(place, "one", [(A, b'{"a":1}'), (B, '"好"'.encode())])
    assert found(place) == [(A, b'{"a":1}'), (B, '"好"'.encode())]
    assert found(place, B) == [(B, '"好"'.encode())]
    assert found(place, C) == []


def test_a_block_that_fails_keeps_nothing(place: Path) -> None:
    def broken() -> Iterator[tuple[bytes, bytes]]:
        yield A, b"1"
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        keep(place, "one", broken())
    assert names(place) == []


def test_a_block_without_answers_leaves_no_file(place: Path) -> None:
    keep(place, "one", [])
    assert names(place) == []


def test_work_that_is_done_again_replaces_what_it_kept(place: Path) -> None:
    for answer in (b"1", b"2"):
        keep(place, "one", [(A, answer)])
    keep(place, "two", [(B, b"3")])
    assert sorted(found(place)) == [(A, b"2"), (B, b"3")]
    keep(place, "one", [(A, b"4"), (C, b"5")])
    assert sorted(found(place)) == [(A, b"4"), (B, b"3"), (C, b"5")]
    assert len(names(place)) == 2


def test_hits_are_counted_once_for_each_run(place: Path) -> None:
    keep(place, "one", [(A, b"1"), (B, b"22")])
    cache = AnswerCache(str(place))
    for name, hits in (("one", 40), ("one", 40), ("two", 2)):
        cache.note_hits(name, hits)
    size = sum(path.stat().st_size for path in place.iterdir())
    assert cache.count() == CacheCounts(entries=2, bytes=size, hits=42)


def test_a_file_in_the_place_of_a_cache_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(KimiInputError, match=r"^Cache .* cannot be used \(FileExistsError.*Nothing was sent"):
        AnswerCache(str(tmp_path / "cache"))
