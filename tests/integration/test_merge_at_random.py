"""Whatever is asked again, and whatever comes of it, each row counts once, and no usable answer is lost or moved."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_kimi.exceptions import KimiBatchError, KimiInputError
from airflow_provider_kimi.results.answer_check import AnswerCheck
from airflow_provider_kimi.results.schema import read_schema
from airflow_provider_kimi.simulator import Answer, KimiSimulator
from airflow_provider_kimi.simulator.answers import RowError
from tests.conftest import Connect
from tests.integration.test_merge_with import Platform
from tests.integration.test_rounds_at_random import FATES, SAID, WORTH, worth
from tests.support.landing import Landed
from tests.support.requests import write_jsonl
from tests.support.rounds import QUICK, check_sums

ROWS, MERGES = 6, 3

SCHEMA = AnswerCheck(read_schema(["positive", "negative"]))

#: Of one time that dead letters are asked: how each row is, and what becomes of the batch; "left" is not asked.
HOW = st.sampled_from(["as it was", "as it was", "as it was", "with another cap", "edited", "left"])
TIME = st.fixed_dictionaries(
    {
        "said": st.lists(st.sampled_from([*SAID, "yes"]), min_size=ROWS, max_size=ROWS),
        "how": st.lists(HOW, min_size=ROWS, max_size=ROWS),
        "fate": st.sampled_from([*FATES, "completes", "completes", "completes"]),
        "turned": st.booleans(),
        "in_place": st.booleans(),
    }
)


class Model:
    """Says what the example has for this time, and notes what was answered."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.answered: dict[str, str] = {}

    def __call__(self, request: Mapping[str, Any]) -> Answer | RowError | None:
        what = self.said[int(request["custom_id"][1:])]
        self.answered[request["custom_id"]] = what
        return SAID[what]


def given_back(landed: Landed, folder: Path, time: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Write the dead letters that are asked again; return the names of those that ask the same too."""
    letters, same = [], set()
    for letter in landed.rows("dead_letter.jsonl"):
        how = time["how"][int(letter["custom_id"][1:])]
        if how == "left":
            continue
        if how == "edited":
            letter["body"]["messages"][-1]["content"] += " Really?"
        else:
            same.add(letter["custom_id"])
        if how == "with another cap":
            letter["body"]["max_completion_tokens"] = 7_000
        letters.append(letter)
    return write_jsonl(folder / "again.jsonl", letters[:: -1 if time["turned"] else 1]), same


def merged(platform: Platform, landed: Landed, ids: list[str], name: str, time: Mapping[str, Any]) -> Landed:
    """Merge into the earlier result itself, or beside it; beside it too while files are still to come."""
    if time["in_place"]:
        try:
            return platform.merge(landed, ids, landed.folder.name, check=SCHEMA)
        except KimiBatchError:
            assert "nothing" in time["said"]
    return platform.merge(landed, ids, name, check=SCHEMA)


def check(landed: Landed, worths: Mapping[str, int]) -> None:
    rows, found = landed.rows(), landed.manifest
    assert [row["custom_id"] for row in rows] == [f"r{n}" for n in range(ROWS)]
    assert [row["text"] for row in rows] == [f"review {n}" for n in range(ROWS)]
    assert {row["custom_id"]: worth(row) for row in rows} == worths
    check_sums(found, ROWS)
    assert landed.statuses == {status: rows for status, rows in found["counts"].items() if rows and status != "total"}
    unusable = [row for row in rows if row["status"] != "succeeded"]
    letters = landed.rows("dead_letter.jsonl")
    assert [letter["custom_id"] for letter in letters] == [row["custom_id"] for row in unusable]
    assert [letter["error"]["code"] for letter in letters] == [row["error_code"] for row in unusable]
    assert {row["batch_id"] for row in rows} <= {*found["batch_ids"]}
    assert max(row["round"] for row in rows) <= found["rounds"] == len(found["batch_ids"])
    paid = [line["response"]["body"]["usage"] for line in landed.rows("output.jsonl")]
    for tokens in ("prompt_tokens", "completion_tokens"):
        assert found["usage"][tokens] == sum(usage[tokens] for usage in paid)


@settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(times=st.lists(TIME, min_size=MERGES + 1, max_size=MERGES + 1))
def test_every_row_counts_once_and_has_the_best_of_its_answers(connect: Connect, times: list[dict[str, Any]]) -> None:
    model = Model()
    with TemporaryDirectory() as name, KimiSimulator(speed=0, timing=QUICK, responder=model) as sim:
        platform = Platform(sim, connect(sim), Path(name))

        def meet(time: Mapping[str, Any]) -> None:
            model.said, model.answered = time["said"], {}
            platform.on_created = lambda batch: FATES[time["fate"]](batch)

        meet(times[0])
        landed = platform.first(ROWS, check=SCHEMA)
        worths = {f"r{n}": WORTH.get(model.answered.get(f"r{n}", ""), 0) for n in range(ROWS)}
        check(landed, worths)
        for number, time in enumerate(times[1:]):
            letters, same = given_back(landed, platform.folder, time)
            if not Path(letters).stat().st_size:
                continue
            meet(time)
            ids = platform.ask(letters)
            if not same:
                with pytest.raises(KimiInputError, match="No row of these batches is known to ask"):
                    platform.merge(landed, ids, check=SCHEMA)
                continue
            for row in same:
                worths[row] = max(worths[row], WORTH.get(model.answered.get(row, ""), 0))
            before = landed
            landed = merged(platform, landed, ids, f"merged-{number}", time)
            check(landed, worths)
            assert landed.manifest["batch_ids"] == before.manifest["batch_ids"] + ids
            again = platform.merge(before, ids, landed.folder.name, check=SCHEMA)
            assert again.manifest == landed.manifest
