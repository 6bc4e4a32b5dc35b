"""Marks of the version of a record: one that a later version has written is not read as if this one had."""

from airflow_provider_kimi.exceptions import KimiResultError


def check_version(what: str, found: int, newest: int = 1) -> None:
    """Refuse a record that a later version has written, and that work which is paid for depends on.

    :param what: It holds, for the message.
    :param found: The mark in the record.
    :param newest: The newest that this version reads.
    :raises KimiResultError: It is later. A retry may meet a worker that is upgraded.
    """
    if found > newest:
        raise KimiResultError(
            f"{what} are of version {found}, and this worker reads version {newest}. Nothing is lost, and nothing was "
            "landed or paid again. Run all workers with the newest of your versions of airflow-provider-kimi, then "
            "clear this task."
        )
