"""`python -m airflow_provider_kimi.simulator`: the simulator as a process, for people and for other programs."""

import argparse
import contextlib
import dataclasses
import re
import signal
import textwrap
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from airflow_provider_kimi.simulator.answers import Answer, Responder, RowError
from airflow_provider_kimi.simulator.behaviour import Behaviour, Timing
from airflow_provider_kimi.simulator.faults import CallName
from airflow_provider_kimi.simulator.labels import label_answer
from airflow_provider_kimi.simulator.server import KimiSimulator

#: `error.type` of a scripted status; `server_error` for the others.
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "invalid_authentication_error",
    403: "permission_denied_error",
    404: "resource_not_found_error",
    429: "rate_limit_reached_error",
    499: "client_closed_request",
    503: "server_unavailable",
}

_FAULT = re.compile(
    r"(?P<call>\w+):(?:(?P<status>[2-5]\d\d)|(?P<drop>drop)|(?P<hang>hang)|late=(?P<late>\d+)|trickle=(?P<trickle>\d+(?:\.\d+)?)|cut=(?P<cut>\d+))(?:\*(?P<times>\d+))?"
)

_EPILOG = """\
CALL of a --fault:
{calls}
KIND of a --fault, which the next TIMES calls (1) meet:
  500              an answer with this HTTP status, from 200 to 599
  drop             a connection that is closed without an answer
  hang             no answer for an hour
  late=SECONDS     a 504; the call is carried out that many simulated seconds later
  trickle=SECONDS  an answer that comes byte by byte, with that many real seconds between two bytes
  cut=BYTES        an answer that breaks off after this number of bytes

SWITCH of a --set, with its default; a list is written as a,b and None as nothing:
{switches}

examples, in which a batch ends within two seconds, and which the first DAG of the README gets over:
  The platform stumbles:
    python -m airflow_provider_kimi.simulator --speed 15 --fault create_batch:429 --fault get_batch:500
  Three rows come back without an answer, and errors are spelled in another way:
    python -m airflow_provider_kimi.simulator --speed 15 --fail-rows 2 --drop-rows 1 --set error_shape=text
"""


def main() -> None:
    """Parse the options, print where it listens, serve until interrupted."""
    parser = _parser()
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        simulator = _simulator(options)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot listen on port {options.port}: {error}")
    with contextlib.suppress(KeyboardInterrupt), simulator:
        print(f"ready {simulator.base_url}", flush=True)
        threading.Event().wait()


def _simulator(options: argparse.Namespace) -> KimiSimulator:
    simulator = KimiSimulator(
        options.port,
        speed=options.speed,
        timing=Timing(options.validating, options.working, options.finalizing, options.cancelling),
        behaviour=Behaviour(**dict(options.set)),
        responder=_spoil(label_answer, options.fail_rows, options.drop_rows, options.spoil_times),
        balance=options.balance,
        other_keys=options.other_key,
    )
    for call, fault in options.fault:
        simulator.inject(call, **fault)
    if options.latency:
        for call in get_args(CallName):
            simulator.inject(call, hang_seconds=options.latency, times=None)
    return simulator


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_kimi.simulator",
        description="Serve a simulated Kimi platform on loopback, for the key sk-simulator, until interrupted.",
        epilog=_EPILOG.format(calls=_indented(", ".join(get_args(CallName))), switches=_switches()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(group: argparse._ActionsContainer, name: str, default: float, metavar: str, text: str) -> None:
        group.add_argument(
            f"--{name}", type=type(default), default=default, metavar=metavar, help=f"{text} ({default:g})"
        )

    add(parser, "port", 8765, "PORT", "TCP port; 0 picks a free one")
    parser.add_argument(
        "--other-key",
        action="append",
        default=[],
        metavar="KEY",
        help="further key of the same organization, as often as needed",
    )
    clock = parser.add_argument_group("clock")
    add(clock, "speed", 1.0, "FACTOR", "simulated seconds in a real second")
    for name, seconds in dataclasses.asdict(Timing()).items():
        stage = name.removesuffix("_seconds")
        add(clock, stage, seconds, "SECONDS", f"simulated seconds that a batch is {stage}")
    add(clock, "latency", 0.0, "SECONDS", "real seconds before every answer")
    answers = parser.add_argument_group("answers and money")
    add(answers, "fail-rows", 0, "ROWS", "first rows that end in the error file")
    add(answers, "drop-rows", 0, "ROWS", "rows behind them that come back in no file")
    add(answers, "spoil-times", 0, "TIMES", "how often each of these rows is asked in vain; 0 for always")
    add(answers, "balance", 1000.0, "YUAN", "money on the account; with 0 every batch fails")
    often = parser.add_argument_group("faults and open points, each as often as needed; their values are listed below")
    for name, kind, metavar, text in (
        ("fault", _fault, "CALL:KIND[*TIMES]", "what goes wrong with the next calls"),
        ("set", _switch, "SWITCH=VALUE", "what the platform does where its documentation leaves it open"),
    ):
        often.add_argument(f"--{name}", action="append", default=[], type=kind, metavar=metavar, help=text)
    return parser


def _switches() -> str:
    """Every switch with its default and its meaning, as the docstring of `Behaviour` has it."""
    documented = re.findall(r":param (\w+): (.*?)(?= :param|$)", " ".join((Behaviour.__doc__ or "").split()))
    return "\n".join(
        f"  {name}={_spelled(getattr(Behaviour, name))}\n{_indented(text, 6)}" for name, text in documented
    )


def _spelled(value: object) -> str:
    """Write a value as --set takes it."""
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _indented(text: str, columns: int = 2) -> str:
    return textwrap.fill(text, 100, initial_indent=" " * columns, subsequent_indent=" " * columns)


def _fault(text: str) -> tuple[str, dict[str, object]]:
    found = _FAULT.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not CALL:KIND[*TIMES]; "
            "KIND is a status, drop, hang, late=SECONDS, trickle=SECONDS or cut=BYTES"
        )
    if found["call"] not in get_args(CallName):
        raise argparse.ArgumentTypeError(f"{found['call']!r} is not a call; use one of {', '.join(get_args(CallName))}")
    fault: dict[str, object] = {"times": int(found["times"] or 1), "drop": bool(found["drop"])}
    if found["status"]:
        status = int(found["status"])
        fault |= {"status": status, "error_type": _ERROR_TYPES.get(status, "server_error"), "html": status == 504}
    if found["hang"]:
        fault |= {"hang_seconds": 3600.0}
    if found["late"]:
        fault |= {"status": 504, "html": True, "done_after_seconds": float(found["late"])}
    if found["trickle"]:
        fault |= {"trickle_seconds": float(found["trickle"])}
    if found["cut"]:
        fault |= {"cut_after_bytes": int(found["cut"])}
    return found["call"], fault


def _switch(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    kinds = get_type_hints(Behaviour)
    if name not in kinds:
        raise argparse.ArgumentTypeError(f"{name!r} is not a switch; use one of {', '.join(kinds)}")
    choices = _choices(kinds[name])
    if choices and value not in choices:
        raise argparse.ArgumentTypeError(f"{name} cannot be {value!r}; use one of {', '.join(choices)}")
    return name, choices[value] if choices else _read_value(kinds[name], value)


def _choices(kind: Any) -> Mapping[str, object]:
    """The only values of a switch, as --set takes them; empty where there are more."""
    values = (True, False) if kind is bool else get_args(kind) if get_origin(kind) is Literal else ()
    return {_spelled(value): value for value in values}


def _read_value(kind: Any, text: str) -> object:
    if kind is str:
        return text
    if get_origin(kind) is tuple:
        return tuple(text.split(","))
    if not text and type(None) in get_args(kind):
        return None
    try:
        return float(text) if kind is float else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _spoil(respond: Responder, failing: int, missing: int, times: int) -> Responder:
    """Let the first rows fail, and the next ones come back in no file, so many times; 0 for always."""
    spoilt: dict[str, Answer | RowError | None] = {}
    asked: Counter[str] = Counter()

    def responder(request: Mapping[str, Any]) -> Answer | RowError | None:
        custom_id = request["custom_id"]
        if not custom_id:
            return respond(request)  # a chat call
        if len(spoilt) < failing:
            spoilt.setdefault(custom_id, RowError("content_filter", "the request was rejected as high risk"))
        elif len(spoilt) < failing + missing:
            spoilt.setdefault(custom_id, None)
        asked[custom_id] += custom_id in spoilt
        is_spoilt = custom_id in spoilt and (not times or asked[custom_id] <= times)
        return spoilt[custom_id] if is_spoilt else respond(request)

    return responder


if __name__ == "__main__":
    main()
