"""A model that cannot answer is refused before anything is uploaded."""

import pytest

from airflow_provider_kimi.api.catalogue import BATCH_MODELS
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.parameters import check_model, check_offered


@pytest.mark.parametrize(
    ("model", "since"),
    [
        *(
            ("kimi-k2.5", "31 August 2026"),
            ("kimi-k2-0905-preview", "25 May 2026"),
            ("moonshot-v1-8k", "31 August"),
        ),
        *(("kimi-latest", "28 January 2026"), ("kimi-thinking-preview", "11 November 2025")),
    ],
)
def test_a_retired_model_is_refused_with_those_that_can_be_batched(model: str, since: str) -> None:
    with pytest.raises(KimiInputError) as caught:
        check_model(model)
    message = str(caught.value)
    assert message.startswith(f"Model {model!r} was retired on {since}")
    assert "Nothing was sent." in message
    assert all(valid in message for valid in BATCH_MODELS)


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        pytest.param("kimi-k2-6", "kimi-k2.6", id="a hyphen for the dot"),
        pytest.param("kimi-k2-7-code", "kimi-k2.7-code", id="also of a longer name"),
        pytest.param("kimi-k2-code", "kimi-k2.7-code", id="a number left out"),
    ],
)
def test_a_model_that_is_nearly_named_as_a_living_one_is_not_called_retired(model: str, meant: str) -> None:
    with pytest.raises(KimiInputError) as caught:
        check_model(model)
    assert str(caught.value).startswith(
        f"Model {model!r} does not exist. Nothing was sent. Is {meant!r} meant? Models that can be batched: kimi-k2"
    )


@pytest.mark.parametrize("model", ["kimi-k2-thinking", "kimi-k2-0711-preview", "kimi-k2-turbo-preview"])
def test_a_retired_model_is_not_taken_for_a_misspelt_one(model: str) -> None:
    with pytest.raises(KimiInputError, match=f"^Model {model!r} was retired on 25 May 2026 and does not answer any"):
        check_model(model)


@pytest.mark.parametrize("model", BATCH_MODELS)
def test_a_published_model_passes(model: str) -> None:
    assert check_model(model) is None


@pytest.mark.parametrize("model", ["kimi-k3", "ft:kimi-k2.6:mine", "KIMI-K2.6"])
def test_an_unknown_model_is_warned_of(model: str) -> None:
    warning = check_model(model)
    assert warning is not None
    assert warning.startswith(f"Model {model!r} is not on the published list of batch models (kimi-k2.6, ")


def test_a_model_that_is_not_offered_is_refused_with_the_nearest() -> None:
    """What the platform itself lists is asked before anything is uploaded."""
    offered = ["moonshot-v1", "kimi-k2.6", "embed-1", "kimi-k3"]
    with pytest.raises(KimiInputError, match=r"not among the 4 models.*Nothing was sent\. The nearest: kimi-k2\.6"):
        check_offered("kimi-k2.66", offered)
    with pytest.raises(KimiInputError, match=r"The nearest: moonshot-v1, kimi-k2\.6, embed-1\."):
        check_offered("zzz", offered)


def test_any_model_passes_if_it_is_offered_or_the_list_is_empty() -> None:
    check_offered("kimi-k3", ["kimi-k3"])
    check_offered("kimi-k3", [])
