"""Order: what a task is to do, as one value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_kimi.api.limits import MAX_WINDOW_HOURS, MIN_WINDOW_HOURS
from airflow_provider_kimi.choices import (
    MAX_BATCHES_SEARCHED,
    MediaTransport,
    OnChangedInput,
    OnEnded,
    OnFinalFailure,
    OnInvalidRow,
    Reuse,
)
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.records.reading import PLAIN, Reading
from airflow_provider_kimi.requests.media import MediaKind
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.requests.saving import Saving

_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")


@dataclass(frozen=True)
class Order:
    """What a task is to do. Most fields are the parameters of the create operator.

    :param recipe: How rows become requests.
    :param model: Model that ready requests must name; None accepts theirs.
    :param reading: How the text of input files is read.
    :param has_rounds: Whether rows without a usable answer are asked again in further rounds of the same task. A batch
        that ended before it was done is then the round of its shard, whatever `on_ended` says.
    :param pilot_rows: Rows of the first batch, which is to be answered before the others are made; None for as many as
        the others have.
    :param preview_rows: How many rows of the whole input are asked, in place of all; None for all.
    :param allow_realtime: Whether chat calls may have asked rows of a batch that ended without an answer, which no
        batch shows.
    :param only_attaches: Whether it is too late to submit anything, so that a batch that ended is what there is of its
        shard.
    :param media_columns: The kind of each column that holds images or videos.
    :param saving: How rows are saved whose answers are there; None if all rows are sent.
    """

    input: Any
    recipe: Recipe
    model: str | None = None
    completion_window: str = "24h"
    reading: Reading = PLAIN
    metadata: Mapping[str, str] = field(default_factory=dict)
    reuse: Reuse = "auto"
    on_changed_input: OnChangedInput = "fail"
    on_ended: OnEnded = "rest"
    on_final_failure: OnFinalFailure = "keep"
    max_batches_searched: int = MAX_BATCHES_SEARCHED
    media_columns: Mapping[str, MediaKind] = field(default_factory=dict)
    media: MediaTransport = "base64"
    on_invalid_row: OnInvalidRow = "fail"
    max_rows_per_batch: int | None = None
    has_rounds: bool = False
    allow_realtime: bool = False
    only_attaches: bool = False
    pilot_rows: int | None = None
    saving: Saving | None = None
    preview_rows: int | None = None

    def check(self) -> None:
        """Refuse what can be refused before the input is read."""
        check_window(self.completion_window)
        self.recipe.check(self.media_columns)


def check_window(completion_window: str) -> None:
    """Refuse a completion window that the platform would refuse.

    :raises KimiInputError: It is not `<number>h` or `<number>d` between 12 hours and 7 days.
    """
    found = _WINDOW.fullmatch(completion_window) if isinstance(completion_window, str) else None
    hours = int(found[1]) * (24 if found[2] == "d" else 1) if found else 0
    if not MIN_WINDOW_HOURS <= hours <= MAX_WINDOW_HOURS:
        raise KimiInputError(
            f"completion_window is {completion_window!r}; Kimi accepts {MIN_WINDOW_HOURS}h to {MAX_WINDOW_HOURS}h, "
            "written in whole hours or days. Nothing was sent. Use for example '12h', '24h', '3d' or '7d'."
        )
