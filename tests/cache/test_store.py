"""What is kept is found again: by its request, the newest first, whole or not at all."""

import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_provider_kimi.cache.segments import line_of
from airflow_provider_kimi.cache.store import AnswerCache, CacheCounts, Found
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.files.lines import MAX_LINE_BYTES
from tests.support.caches import make_older

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


def test_of_several_answers_to_a_request_the_newest_comes_first(place: Path) -> None:
    for number, name in enumerate(("third", "second", "first")):
        make_older(place, timedelta(days=1)) if number else None
        keep(place, name, [(A, name.encode()), (B, name.encode())])
    assert [answer for _, answer in found(place, A)] == [b"first", b"second", b"third"]


def test_older_answers_are_found_only_if_they_are_asked_for(place: Path) -> None:
    keep(place, "old", [(A, b"1")])
    make_older(place, timedelta(days=30))
    keep(place, "new", [(B, b"2")])
    assert found(place, max_age=timedelta(days=29)) == [(B, b"2")]
    assert found(place, max_age=timedelta(days=31)) == [(B, b"2"), (A, b"1")]


def test_answers_that_are_kept_again_stay_as_old_as_they_are(place: Path) -> None:
    keep(place, "one", [(A, b"1")])
    make_older(place, timedelta(days=30))
    keep(place, "one", [(A, b"1"), (B, b"2")])
    assert found(place, max_age=timedelta(days=29)) == []
    assert found(place) == [(A, b"1"), (B, b"2")]


def test_a_request_that_has_its_answer_is_wanted_no_more(place: Path) -> None:
    keep(place, "old", [(A, b"1"), (B, b"1")])
    make_older(place, timedelta(days=1))
    keep(place, "new", [(A, b"2")])
    wanted, answers = {A, B}, {}
    for digest, answer in AnswerCache(str(place)).find(wanted.__contains__):
        answers[digest] = answer
        wanted.remove(digest)
    assert answers == {A: b"2", B: b"1"}


def test_an_answer_is_given_back_byte_for_byte_but_for_line_breaks_between_its_tokens(place: Path) -> None:
    answer = '{ "text" :  "a\\nb \u2028 \u0085 \\ud800 好",\r "n": 1.50e3 }'.encode()
    keep(place, "one", [(A, answer), (B, b'{\n  "a": 1\n}')])
    assert found(place) == [(A, answer), (B, b'{   "a": 1 }')]


class TestDamage:
    @staticmethod
    def segment(place: Path) -> Path:
        keep(place, "one", [(A, b'"aaa"'), (B, b'"bbb"')])
        (path,) = place.iterdir()
        return path

    def test_a_poisoned_answer_is_passed_over_and_counted(self, place: Path) -> None:
        path = self.segment(place)
        path.write_bytes(path.read_bytes().replace(b'"aaa"', b'"xxx"'))
        cache = AnswerCache(str(place))
        assert list(cache.find({A, B}.__contains__)) == [(B, b'"bbb"')]
        assert cache.damaged == 1

    def test_the_answer_of_one_request_is_not_taken_for_another(self, place: Path) -> None:
        path = self.segment(place)
        path.write_bytes(path.read_bytes().replace(A.hex().encode(), C.hex().encode()))
        assert found(place) == [(B, b'"bbb"')]

    def test_of_a_torn_file_the_whole_lines_are_found(self, place: Path) -> None:
        path = self.segment(place)
        content = path.read_bytes()
        for size in range(len(content)):
            path.write_bytes(content[:size])
            whole = content[:size].count(b"}")
            assert found(place) == [(A, b'"aaa"'), (B, b'"bbb"')][:whole]

    @given(data=st.data())
    def test_whatever_is_changed_in_a_file_an_answer_comes_back_as_it_was_or_not_at_all(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = self.segment(tmp_path_factory.mktemp("cache"))
        content = bytearray(path.read_bytes())
        begin = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(begin, min(begin + 5, len(content))))
        content[begin:end] = data.draw(st.binary(max_size=5))
        path.write_bytes(content)
        assert set(AnswerCache(str(path.parent)).find(lambda digest: True)) <= {(A, b'"aaa"'), (B, b'"bbb"')}

    def test_of_a_line_without_an_end_only_so_much_is_held_as_of_the_longest_answer(self, place: Path) -> None:
        path = self.segment(place)
        with path.open("r+b") as torn:
            torn.truncate(path.stat().st_size - 3)
            torn.truncate(1 << 29)  # NUL bytes, which take no room on the disk
        tracemalloc.start()
        try:
            assert found(place) == [(A, b'"aaa"')]
            assert tracemalloc.get_traced_memory()[1] < 4 * MAX_LINE_BYTES
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    [
        *(
            "notes.txt",
            "answers.jsonl",
            "answers-20260101T000000Z-1-0123456789abcdef.json",
            "hits-1.json",
        ),
        *("answers-20269901T000000Z-1-0123456789abcdef.jsonl", "answers-20260101T000000Z-1-0123456789abcdef.jsonl.bak"),
        *("answers-20260101T000000Z-01-0123456789abcdef.jsonl", "hits-20260101T000000Z-1-0123456789abcdef.jsonl"),
    ],
)
def test_a_file_of_somebody_else_is_neither_read_nor_deleted(place: Path, name: str) -> None:
    keep(place, "one", [(A, b"1")])
    (place / name).write_bytes(line_of(B, b"2"))
    assert found(place) == [(A, b"1")]
    AnswerCache(str(place)).purge(timedelta(0))
    assert names(place) == [name]


def test_a_folder_in_a_cache_is_left_alone(place: Path) -> None:
    keep(place / "answers-of-others", "one", [(A, b"1")])
    assert found(place) == []
    assert AnswerCache(str(place)).count() == CacheCounts(0, 0, 0)


class TestPurgedWhileItIsRead:
    def test_a_file_that_is_open_is_read_to_its_end_and_the_next_is_passed_over(self, place: Path) -> None:
        keep(place, "old", [(C, b"3")])
        make_older(place, timedelta(days=1))
        keep(place, "new", [(A, b"1"), (B, b"2")])
        answers = AnswerCache(str(place)).find({A, B, C}.__contains__)
        assert next(answers) == (A, b"1")
        AnswerCache(str(place)).purge(timedelta(0))
        assert list(answers) == [(B, b"2")]

    def test_a_file_that_its_writer_has_replaced_meanwhile_is_read_in_its_new_form(self, place: Path) -> None:
        keep(place, "old", [(C, b"3")])
        make_older(place, timedelta(days=1))
        keep(place, "new", [(A, b"1")])
        answers = AnswerCache(str(place)).find({A, B, C}.__contains__)
        assert next(answers) == (A, b"1")
        keep(place, "old", [(B, b"2"), (C, b"3")])
        assert list(answers) == [(B, b"2"), (C, b"3")]


class Kept(RuleBasedStateMachine):
    """A cache, and what it has to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.place = Path(self.folder.name)
        #: By writer: how many days old its answers are, and the answers.
        self.answers: dict[str, tuple[int, dict[bytes, bytes]]] = {}
        self.hits: dict[str, tuple[int, int]] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(name=st.sampled_from("xyz"), answers=st.dictionaries(st.sampled_from([A, B, C]), st.just(b"1"), min_size=1))
    def keep(self, name: str, answers: dict[bytes, bytes]) -> None:
        keep(self.place, name, answers.items())
        self.answers[name] = (self.answers.get(name, (0, {}))[0], answers)

    @rule(name=st.sampled_from("xyz"), hits=st.integers(0, 1000))
    def note_hits(self, name: str, hits: int) -> None:
        AnswerCache(str(self.place)).note_hits(name, hits)
        self.hits[name] = (self.hits.get(name, (0, 0))[0], hits)

    @rule()
    def a_day_goes_by(self) -> None:
        make_older(self.place, timedelta(days=1))
        self.answers = {name: (days + 1, answers) for name, (days, answers) in self.answers.items()}
        self.hits = {name: (days + 1, hits) for name, (days, hits) in self.hits.items()}

    @rule(days=st.integers(0, 4))
    def purge(self, days: int) -> None:
        AnswerCache(str(self.place)).purge(timedelta(days=days))
        self.answers = {name: kept for name, kept in self.answers.items() if kept[0] < days}
        self.hits = {name: noted for name, noted in self.hits.items() if noted[0] < days}

    @invariant()
    def it_holds_what_it_has_to(self) -> None:
        for days in (1, 2, 9):
            young = [kept for age, kept in self.answers.values() if age < days]
            expected = Counter(digest for kept in young for digest in kept)
            age = timedelta(days=days) - timedelta(hours=1)
            assert Counter(digest for digest, _ in found(self.place, max_age=age)) == expected
        entries = sum(len(kept) for _, kept in self.answers.values())
        hits = sum(hits for _, hits in self.hits.values())
        assert AnswerCache(str(self.place)).count()[::2] == (entries, hits)


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def test_ten_times_the_answers_take_no_more_memory(tmp_path: Path) -> None:
    peaks: dict[int, int] = {}
    for answers in (2_000, 2_000, 20_000):  # the first one warms up
        folder = tmp_path / f"{answers}-{len(peaks)}"
        digests = (number.to_bytes(16, "big") for number in range(answers))
        tracemalloc.start()
        try:
            keep(folder, "one", ((digest, b'"%s"' % (b"x" * 1000)) for digest in digests))
            assert sum(1 for _ in AnswerCache(str(folder)).find(lambda digest: True)) == answers
            peaks[answers] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peaks[20_000] < peaks[2_000] + 200_000
