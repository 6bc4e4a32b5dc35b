"""Entries, by their names, and what they come to."""

import random

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kimi.budgets.ledger import Entry, Kind, Ledger, micro_of, owner_of, total

#: As earlier versions have stored it.
STORED = "kimi_claim.labels.day-2026-11-30-CNY.0123456789abcdef.0123456789ab.reserved.001764541800000.66687"


def test_an_entry_is_read_as_earlier_code_has_named_it() -> None:
    entry = Entry.of(STORED)
    assert entry == Entry(
        "labels", "day-2026-11-30-CNY", "0123456789abcdef", "0123456789ab", "reserved", 1764541800000, 66687
    )
    assert entry.name == STORED


def test_the_longest_name_fits_into_the_key_of_a_variable() -> None:
    longest = Entry("b" * 60, f"run-{'0' * 16}-{'C' * 12}", "0" * 16, "0" * 12, "reserved", 10**14, 10**18)
    assert len(longest.name) <= 250
    assert Entry.of(longest.name) == longest


def test_names_of_others_are_no_entries() -> None:
    for name in ("kimi_budget_labels", "kimi_claim.labels", STORED + ".", STORED.replace("reserved", "taken")):
        assert Entry.of(name) is None


def test_an_owner_has_spent_what_it_said_last() -> None:
    first = Entry.of(STORED)
    assert first is not None
    spent = [first._replace(kind="spent", number=number, micro=micro) for number, micro in ((7, 500), (9, 300))]
    ledger = Ledger([first, *spent, first])
    assert (ledger.spent, total(ledger.reserved), ledger.held_by(first.owner)) == (300, 66687, 66987)
    gone = Ledger([first, *spent, first._replace(kind="gone")])
    assert (gone.reserved, gone.waiting, gone.held_by(first.owner)) == ([], [], 300)


@given(st.permutations(["new", "wanted", "reserved", "gone", "spent"]), st.randoms(use_true_random=False))
def test_the_order_in_which_entries_are_listed_makes_no_difference(kinds: list[Kind], chance: random.Random) -> None:
    first = Entry.of(STORED)
    assert first is not None
    entries = [first._replace(kind=kind) for kind in kinds]
    entries += chance.sample(entries, 2)
    ledger = Ledger(entries)
    assert (ledger.spent, ledger.reserved, ledger.waiting) == (66687, [], [])


def test_amounts_are_counted_in_millionths_and_rounded_up() -> None:
    assert [micro_of(amount) for amount in (0.1, 0.3, 1e-7, 12.3456789)] == [100_000, 300_000, 1, 12_345_679]


def test_a_job_that_is_paid_anew_is_another_owner() -> None:
    assert len({owner_of("job", None), owner_of("job", "mark"), owner_of("other", None)}) == 3
