"""The note of a claim on a budget: whose it is, as the value of its Variable, for people and for taking it back."""

from typing import Any, Self

import msgspec

from airflow_provider_kimi.records.outside import storable


class ClaimNote(msgspec.Struct, frozen=True, kw_only=True):
    """Who has claimed, and for what.

    :param conn_id: The connection through which it pays.
    :param job_key: Of the job.
    :param fresh: Mark of the attempt, if it pays for fresh work; else None.
    :param mark: Of the attempt that has claimed.
    :param rows: How many rows the job has.
    :param since: Unix seconds before which no batch of the job was made; None if that is not known.
    :param is_chat: Whether it is for chat calls, of which the platform shows nothing.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    conn_id: str = ""
    job_key: str = ""
    fresh: str | None = None
    mark: str = ""
    rows: int = 0
    since: float | None = None
    is_chat: bool = False

    def to_json(self) -> str:
        """Write it as the value of a Variable."""
        fields: dict[str, Any] = storable(msgspec.to_builtins(self))
        return msgspec.json.encode(fields).decode()

    @classmethod
    def of_json(cls, stored: str | None) -> Self | None:
        """Read one back; None for what somebody else has written."""
        try:
            return msgspec.json.decode(stored or "", type=cls)
        except msgspec.MsgspecError:
            return None

    @property
    def task(self) -> tuple[str, str, str, int]:
        """Names its task instance."""
        return self.dag_id, self.run_id, self.task_id, self.map_index
