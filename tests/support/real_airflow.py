"""A real Airflow: scheduler, dag processor, triggerer and API server as processes, in a throw-away home."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
USER = "admin"
PASSWORD = "admin"
VIEWER = "viewer"  # may see everything, and change nothing

#: Seconds that a component gets to end by itself.
STOP_SECONDS = 20.0

#: How long a writer of SQLite waits for another; its own five seconds are too few on a busy machine. The API server
#: waits in its event loop. If the other is a request of its own that needs the loop to go on, both stand still for so
#: long, and a task that starts then is given up after a minute.
LOCK_SECONDS = 15.0

#: Seconds within which real processes do what takes them a few on an idle machine. It only ends a test that hangs.
PATIENCE = 300.0


class RealAirflow:
    """Start everything on entering, stop everything on leaving.

    :param home: An empty directory of its own.
    :param dags: Directory of DAG files.
    :param connections: Airflow connections by id, as the fields of their JSON form.
    :param settings: Airflow's settings beside and over the usual ones, such as `CORE__EXECUTOR`.
    :param starts_runs: Whether schedules and assets start runs. Unpausing a @daily DAG would start one beside the one
        that is triggered.
    :param python: The interpreter of an environment that holds Airflow.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        connections: Mapping[str, Mapping[str, Any]],
        *,
        settings: Mapping[str, object] | None = None,
        starts_runs: bool = False,
        python: str | Path = sys.executable,
    ) -> None:
        self.home = home
        self._python = python
        self.port, worker_log_port, trigger_log_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self._token = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps({USER: PASSWORD, VIEWER: PASSWORD}))
        usual = {
            "CORE__DAGS_FOLDER": dags,
            "CORE__LOAD_EXAMPLES": False,
            "CORE__PARALLELISM": 4,
            "CORE__TEST_CONNECTION": "Enabled",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout={LOCK_SECONDS:g}",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin,{VIEWER}:viewer",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords,
            "API__HOST": "127.0.0.1",
            "API__PORT": self.port,
            "API__BASE_URL": self.url,
            "API__WORKERS": 1,
            "API__SECRET_KEY": secrets.token_hex(32),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "SCHEDULER__USE_JOB_SCHEDULE": starts_runs,
            "DAG_PROCESSOR__REFRESH_INTERVAL": 10,
            # No file changes, and a parse takes a second of CPU; but it is the next parse that starts an asset watcher.
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 5 if starts_runs else 3600,
            "SCHEDULER__PARSING_CLEANUP_INTERVAL": 5,
            "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 15,
            "LOGGING__WORKER_LOG_SERVER_PORT": worker_log_port,
            "LOGGING__TRIGGER_LOG_SERVER_PORT": trigger_log_port,
            # A short deferral must not overtake the end of the process that deferred.
            "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        }
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            **{f"AIRFLOW__{name}": str(value) for name, value in {**usual, **(settings or {})}.items()},
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(fields) for name, fields in connections.items()},
        }

    def __enter__(self) -> Self:
        try:
            self._command("db", "migrate")
            for component in COMPONENTS:
                self.start(component)
            wait_for(self._is_healthy, "Airflow is not healthy")
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    # Processes

    def start(self, component: str, *arguments: str) -> None:
        """Start one component, or another command, in a process group of its own."""
        self._start(component, self.home, {}, component, *arguments)

    def start_elsewhere(self, name: str, *command: str) -> Path:
        """Start a component as another machine has it, which shares no disk but the DAGs; returns its directory."""
        folder = self.home / name
        (folder / "tmp").mkdir(parents=True)
        self._start(name, folder, {"AIRFLOW_HOME": str(folder), "TMPDIR": str(folder / "tmp")}, *command)
        return folder

    def _start(self, name: str, folder: Path, variables: Mapping[str, str], *command: str) -> None:
        with (self.home / f"{name}.log").open("ab") as log, held_interrupts():
            self._processes[name] = subprocess.Popen(
                [self._python, "-m", "airflow", *command],
                env={**self._environment, **variables},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def rename(self, component: str, name: str) -> None:
        """Give a component that runs another name, so that a second one can be started."""
        self._processes[name] = self._processes.pop(component)

    def send(self, component: str, signal_number: int) -> None:
        """Send a signal to all processes of a component."""
        os.killpg(self._processes[component].pid, signal_number)

    def pids(self, component: str) -> set[int]:
        """The processes of one component."""
        return set(processes_of_group(self._processes[component].pid))

    def stop_all(self) -> None:
        """Stop every component and whatever it started, and wait until all are gone."""
        with ignored_interrupts():
            for signal_number in (signal.SIGTERM, signal.SIGKILL):
                for pid in self._living():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal_number)
                deadline = time.monotonic() + STOP_SECONDS
                while time.monotonic() < deadline and self._living():
                    time.sleep(0.1)
            for process in self._processes.values():
                process.wait(STOP_SECONDS)  # it is over, or was killed; it may not have been asked since
            self._processes.clear()

    def _living(self) -> set[int]:
        """All processes that work in this home: a task's has a group of its own."""
        for process in self._processes.values():
            process.poll()
        return set(processes_in(self.home))

    def _command(self, *arguments: str) -> None:
        self.start(*arguments)
        if self._processes[arguments[0]].wait():
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{self.log_tail(arguments[0])}")
        del self._processes[arguments[0]]

    # REST

    def _is_healthy(self) -> bool:
        for component, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{component} ended with {process.returncode}:\n{self.log_tail(component)}")
        try:
            health = self.call("GET", "/api/v2/monitor/health")
        except (OSError, ValueError):
            return False
        return all(health[name]["status"] == "healthy" for name in ("scheduler", "triggerer", "dag_processor"))

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Send one REST call as the administrator."""
        if not self._token and not path.startswith("/auth") and not path.endswith("/health"):
            self._token = self.call("POST", "/auth/token", {"username": USER, "password": PASSWORD})["access_token"]
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        for _ in range(3):
            try:
                return _answer_to(request, PATIENCE)
            except urllib.error.HTTPError as error:
                if error.code != 500:  # the database was locked, so nothing was changed
                    raise
        return _answer_to(request, PATIENCE)

    def run_dag(self, dag_id: str, run_id: str, conf: Mapping[str, Any] | None = None) -> None:
        """Unpause a DAG and trigger a run."""
        self.unpause(dag_id)
        run = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", run)

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG, once it is parsed."""
        wait_for(lambda: self._is_known(dag_id), f"{dag_id} was not parsed")
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def _is_known(self, dag_id: str) -> bool:
        try:
            self.call("GET", f"/api/v2/dags/{dag_id}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise
        return True

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run."""
        return str(self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}")["state"])

    def clear(self, dag_id: str, run_id: str, *task_ids: str, downstream: bool = False) -> None:
        """Clear tasks of a run, as a user does."""
        body = {
            **{"dry_run": False, "dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False},
            **{"include_downstream": downstream, "reset_dag_runs": True},
        }
        self.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task failed or success, as a user does."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task_id}"
        self.call("PATCH", path, {"new_state": state})

    def kill(self, component: str, signal_number: int) -> None:
        """Send a signal to all processes of a component, and wait until they are gone."""
        process = self._processes.pop(component)
        os.killpg(process.pid, signal_number)
        process.wait()
        wait_for(lambda: not any(processes_of_group(process.pid)), f"{component} lives on", pause=0.1)

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """State of every task instance of a run, by task id."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances"
        return {ti["task_id"]: ti["state"] or "-" for ti in self.call("GET", path)["task_instances"]}

    def task_instance(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """All that REST says of a task instance."""
        return self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task_id}")

    def mapped_states(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """States of the instances of a mapped task."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task_id}/listMapped"
        states: list[str] = []
        while True:
            found = self.call("GET", f"{path}?limit=100&offset={len(states)}")
            states += [ti["state"] or "-" for ti in found["task_instances"]]
            if len(states) >= found["total_entries"]:
                return states

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1) -> Any:
        """Value of an XCom; None where there is none."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.call("GET", f"{path}?deserialize=true&map_index={map_index}")["value"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def log_tail(self, component: str, characters: int = 3000) -> str:
        """The last that a component printed."""
        return (self.home / f"{component}.log").read_text(errors="replace")[-characters:]

    def task_logs(self) -> str:
        """Everything that tasks and triggers logged."""
        return "\n".join(path.read_text(errors="replace") for path in sorted((self.home / "logs").rglob("*.log*")))


def free_ports(count: int) -> list[int]:
    """Find free TCP ports on loopback."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


def processes_of_group(group: int) -> Iterator[int]:
    """The living processes of a process group."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, process_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                yield int(folder.name)


def processes_in(folder: Path) -> Iterator[int]:
    """The living processes that work in a folder, or below it."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder.resolve()):
                yield int(process.name)


def _answer_to(request: urllib.request.Request, seconds: float) -> Any:
    with urllib.request.urlopen(request, timeout=seconds) as reply:
        return json.loads(reply.read() or b"null")


def wait_for(condition: Callable[[], T], complaint: str, seconds: float = PATIENCE, pause: float = 0.5) -> T:
    """Wait until a condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint} after {seconds:g} s")
        time.sleep(pause)
    return result


@contextmanager
def ignored_interrupts() -> Iterator[list[int]]:
    """Let nothing interrupt the block; yields the list of the signals that came meanwhile.

    The handlers are functions, because a process that is started inherits an ignored signal but no function.
    """
    came: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in signals}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Let an interrupt wait for the end of the block, so that no started process goes unregistered."""
    with ignored_interrupts() as came:
        yield
    if came:
        raise KeyboardInterrupt
