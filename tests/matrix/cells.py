"""Which versions are tested together, and with which tests."""

from dataclasses import dataclass

#: What was released after an Airflow and breaks it, where that Airflow does not say so itself.
PINS = {
    "2.11.2": (),
    "3.0.6": ("fastapi<0.118", "universal-pathlib<0.3"),
    "3.1.8": (),
    "3.2.2": ("fastapi<0.137", "svcs<26"),
    "3.3.2": (),
    "3.4.0b2": ("apache-airflow-core==3.4.0b2", "apache-airflow-task-sdk==1.4.0b2"),
}


@dataclass(frozen=True)
class Cell:
    """One environment.

    :param lowest: Whether it has the lowest version of each dependency that pyproject.toml allows, not the newest. The
        extra `s3` needs newer ones, so such an environment is without it.
    :param processes: Whether the DAG runs on a scheduler, a triggerer and the other processes of Airflow as well.
    """

    airflow: str
    python: str
    lowest: bool = False
    processes: bool = False

    @property
    def name(self) -> str:
        """What `make matrix CELLS=...` takes."""
        return f"{self.airflow}-py{self.python}" + ("-lowest" if self.lowest else "")

    @property
    def pins(self) -> tuple[str, ...]:
        """What is installed beside the wheel."""
        return f"apache-airflow=={self.airflow}", *PINS[self.airflow]

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras of the wheel that are installed."""
        return ("parquet", "simulator") if self.lowest else ("parquet", "report", "s3", "simulator")


CELLS = (
    Cell("2.11.2", "3.11", lowest=True),
    Cell("2.11.2", "3.12"),
    Cell("3.0.6", "3.12", processes=True),
    Cell("3.1.8", "3.13"),
    Cell("3.2.2", "3.13"),
    Cell("3.3.2", "3.11"),
    Cell("3.3.2", "3.12"),
    Cell("3.3.2", "3.13"),
    Cell("3.4.0b2", "3.12", processes=True),
    Cell("3.4.0b2", "3.13"),
)

#: The tests of one module at a time.
UNITS = [
    "account",
    "api",
    "budgets",
    "cache",
    "calls",
    "files",
    "jobs",
    "kills",
    "records",
    "report",
    "requests",
    "results",
    "submission",
    "ui",
    "waiting",
]

#: The chains, which run in every cell.
CHAINS = [
    "submit",
    "shards",
    "paid_once",
    "lost_creates",
    "interrupted_creates",
    "wait",
    "wait_faults",
    "watcher",
    "collect",
    "collect_columns",
    "whole_job",
    "rounds",
    "mapped_jobs",
    "every_mode",
    "error_matrix",
    "odd_gateways",
    "odd_lines",
    "parquet_over_days",
    "replay",
    "results_operator",
    "results_refusals",
    "usable_answers",
    "s3",
    "cancel",
    "remote_files",
    "saved_results",
    "budget",
    "gold",
    "hook",
    "progress",
]

#: What needs no extra beyond those of the lowest versions.
LOWEST_UNITS = ["api", "files", "records", "requests", "results"]
LOWEST_CHAINS = ["collect", "collect_columns", "odd_lines", "results_operator", "results_refusals", "usable_answers"]
