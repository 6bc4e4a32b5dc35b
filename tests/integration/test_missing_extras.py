"""What an extra would bring is not installed: the message names the extra, and nothing is sent."""

from pathlib import Path

import pytest

from tests.support.missing import AMAZON, COMMON_AI, PYARROW, S3FS, run_without

PROGRAM = """
from airflow_provider_kimi.records.tags import (TaskIdentity)
from airflow_provider_kimi.submission.identity import (Attempt)
from airflow_provider_kimi.requests.recipe import Recipe
from airflow_provider_kimi.exceptions import KimiInputError
from airflow_provider_kimi.requests.order import (Order)
from airflow_provider_kimi.submission.submit import submit
from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.results.output_directory import OutputDirectory
from tests.support.logs import LogRecord

def attempt(source, **changes):
    try:
        # Nothing listens there: a call would be another error.
        submit(KimiHook("absent"), Order(source, Recipe("kimi-k2.6", prompt="{text}"), **changes), ATTEMPT, LogRecord())
    except KimiInputError as error:
        print(error)

ATTEMPT = Attempt(TaskIdentity("reviews", "manual__1", "label"))
"""

EXTRA = "pip install 'airflow-provider-kimi[s3]'"


@pytest.mark.parametrize("missing", [pytest.param(S3FS, id="s3fs"), pytest.param(AMAZON, id="the amazon provider")])
def test_a_missing_s3_extra_is_named(tmp_path: Path, missing: tuple[str, ...]) -> None:
    program = f"""{PROGRAM}
attempt("s3://conn@bucket/rows.jsonl")
attempt("s3://conn@bucket/rows/*.csv")
attempt([{{"text": "a", "photo": "s3://conn@bucket/a.png"}}], media_columns={{"photo": "image"}})
try:
    OutputDirectory("s3://conn@bucket/out")
except KimiInputError as error:
    print(error)
"""
    one, pattern, image, output = run_without(missing, program, tmp_path).strip().splitlines()[-4:]
    assert one.startswith("Input 's3://conn@bucket/rows.jsonl' cannot be opened")
    assert pattern.startswith("Input 's3://conn@bucket/rows/*.csv' cannot be opened")
    assert "element 1 has an image in column 'photo' that cannot be opened" in image
    assert output.startswith("Output 's3://conn@bucket/out' cannot be written")
    assert "The results of the batches stay on the platform" in output
    for message in (one, pattern, image, output):
        assert EXTRA in message
    for message in (one, pattern, image):
        assert "Nothing was sent." in message


def test_the_extra_that_reads_zstd_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.zst").write_bytes(b"x")
    program = f"{PROGRAM}\nattempt({str(tmp_path / 'rows.jsonl.zst')!r})\n"
    message = run_without(PYARROW, program, tmp_path).strip().splitlines()[-1]
    assert "is compressed by zstd, and pyarrow, which reads that, is not installed here. Nothing was sent." in message
    assert "pip install 'airflow-provider-kimi[parquet]'" in message


def test_a_missing_parquet_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    program = f"{PROGRAM}\nattempt({str(tmp_path / 'rows.parquet')!r})\n"
    message = run_without(PYARROW, program, tmp_path).strip().splitlines()[-1]
    assert "is a Parquet file, and pyarrow is not installed here. Nothing was sent." in message
    assert "pip install 'airflow-provider-kimi[parquet]'" in message


def test_a_missing_common_ai_extra_is_named(tmp_path: Path) -> None:
    program = """
try:
    import airflow_provider_kimi.common_ai.adapter
except ImportError as error:
    print(error)
"""
    message = run_without(COMMON_AI, program, tmp_path).strip().splitlines()[-1]
    assert message.startswith("The provider common.ai has no batches here")
    assert "pip install 'airflow-provider-kimi[common-ai]'" in message
