"""What POST /batches refuses at once, and what it lets through."""

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator
from tests.simulator.conftest import Start
from tests.simulator.wire import ENDPOINT, call, create, refused, upload

if TYPE_CHECKING:
    from openai import OpenAI

DROPPED = object()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"endpoint": "/v1/embeddings"}, "endpoint", id="another endpoint"),
        pytest.param({"endpoint": "/chat/completions"}, "endpoint", id="endpoint without version"),
        pytest.param({"endpoint": DROPPED}, "endpoint", id="no endpoint"),
        pytest.param({"completion_window": DROPPED}, "completion_window", id="no window"),
        pytest.param({"input_file_id": DROPPED}, "input_file_id", id="no file"),
        pytest.param({"input_file_id": "file_gone"}, "input_file_id", id="unknown file"),
        pytest.param({"input_file_id": ["x"]}, "input_file_id", id="file id is not text"),
        pytest.param({"metadata": []}, "metadata", id="metadata is a list"),
        pytest.param({"metadata": {"a": 1}}, "metadata", id="value is a number"),
        pytest.param({"metadata": {"a": None}}, "metadata", id="value is null"),
    ],
)
def test_a_create_with_a_bad_parameter_is_refused_by_name(
    lasting: KimiSimulator, lasting_client: "OpenAI", changes: Any, reason: str
) -> None:
    fields = {"input_file_id": upload(lasting_client), "endpoint": ENDPOINT, "completion_window": "24h", **changes}
    sent = {name: value for name, value in fields.items() if value is not DROPPED}
    status, error_type, message = call(lasting, "POST", "/batches", sent).error
    assert (status, error_type) == (400, "invalid_request_error")
    assert message.startswith(f"Invalid request: {reason}")
    assert len(lasting.batches) == 0


@pytest.mark.parametrize("window", ["12h", "13h", "24h", "168h", "1d", "3d", "7d"])
def test_a_window_from_12_hours_to_7_days_sets_the_expiry(sim: KimiSimulator, client: "OpenAI", window: str) -> None:
    batch = create(client, upload(client), window)
    hours = int(window[:-1]) * (24 if window.endswith("d") else 1)
    assert batch.completion_window == window
    assert batch.expires_at == batch.created_at + hours * 3600


@pytest.mark.parametrize(
    "window",
    [
        *("11h", "0h", "169h", "0d", "8d", "1w", "24", "h", "24H", "24 h", " 24h", "24h\n", "-24h", "1.5d", "024h"),
        *("86400s", "", "２４h", "9" * 5000 + "h", 24, None, ["24h"]),
    ],
    ids=lambda window: repr(window)[:12],
)
def test_a_window_of_any_other_length_or_spelling_is_refused(
    lasting: KimiSimulator, lasting_client: "OpenAI", window: Any
) -> None:
    fields = {"input_file_id": upload(lasting_client), "endpoint": ENDPOINT, "completion_window": window}
    status, error_type, message = call(lasting, "POST", "/batches", fields).error
    assert (status, error_type) == (400, "invalid_request_error")
    assert "between 12h and 7d" in message


class TestMetadata:
    @pytest.mark.parametrize(
        "metadata",
        [
            pytest.param({f"key-{number}": "v" for number in range(16)}, id="16 pairs"),
            pytest.param({"k" * 64: "v"}, id="key of 64 characters"),
            pytest.param({"键" * 64: "v"}, id="key of 64 Chinese characters"),
            pytest.param({"k": "值" * 512}, id="value of 512 characters"),
            pytest.param({}, id="none"),
        ],
    )
    def test_metadata_is_kept_up_to_its_limits(
        self, sim: KimiSimulator, client: "OpenAI", metadata: dict[str, str]
    ) -> None:
        assert create(client, upload(client), metadata=metadata).metadata == metadata

    @pytest.mark.parametrize(
        "metadata",
        [
            pytest.param({f"key-{number}": "v" for number in range(17)}, id="17 pairs"),
            pytest.param({"k" * 65: "v"}, id="key of 65 characters"),
            pytest.param({"k": "v" * 513}, id="value of 513 characters"),
        ],
    )
    def test_metadata_beyond_its_limits_is_refused(self, lasting_client: "OpenAI", metadata: dict[str, str]) -> None:
        status, error_type, message = refused(lambda: create(lasting_client, upload(lasting_client), metadata=metadata))
        assert (status, error_type) == (400, "invalid_request_error")
        assert "metadata" in message


def test_only_a_batch_file_can_be_an_input(sim: KimiSimulator, client: "OpenAI") -> None:
    picture = upload(client, purpose="image")
    assert refused(lambda: create(client, picture))[:2] == (400, "invalid_request_error")
    assert not sim.batches


def test_the_same_file_may_serve_many_batches_and_nothing_is_deduplicated(sim: KimiSimulator, client: "OpenAI") -> None:
    file_id = upload(client)
    ids = {create(client, file_id, metadata={"marker": "same"}).id for _ in range(3)}
    assert len(ids) == 3
    assert set(sim.batches) == ids


def test_file_lag_seconds_lets_a_new_file_be_unknown_for_a_while(start: Start) -> None:
    sim, client = start(file_lag_seconds=5)
    file_id = upload(client)
    assert refused(lambda: create(client, file_id)) == (
        400,
        "invalid_request_error",
        f"Invalid request: input file {file_id} not found",
    )
    sim.advance(5)
    assert create(client, file_id).input_file_id == file_id
