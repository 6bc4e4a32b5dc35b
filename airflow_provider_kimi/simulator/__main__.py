"""`python -m airflow_provider_kimi.simulator`: the simulator as a process."""

import argparse
import contextlib
import dataclasses
import signal
import threading
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from airflow_provider_kimi.simulator.answers import Answer, Responder, RowError, label_answer
from airflow_provider_kimi.simulator.behaviour import Behaviour, Timing
from airflow_provider_kimi.simulator.faults import CallName
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

_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)


def main() -> None:
    """Parse the switches, say where it listens, serve until interrupted."""
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
        api_key=options.api_key,
        speed=options.speed,
        timing=Timing(options.validating, options.working, options.finalizing, options.cancelling),
        behaviour=Behaviour(**dict(options.set)),
        responder=_spoil(label_answer, options.fail_rows, options.drop_rows),
        balance=options.balance,
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
        description="Serve a simulated Kimi platform on loopback.",
    )
    parser.add_argument("--port", type=int, default=8765, help="TCP port; 0 picks a free one (8765)")
    parser.add_argument("--api-key", default="sk-simulator", help="the only key accepted (sk-simulator)")
    clock = parser.add_argument_group("clock", "all times in simulated seconds")
    clock.add_argument("--speed", type=float, default=1.0, help="simulated seconds per real second (1)")
    for name, seconds in dataclasses.asdict(Timing()).items():
        stage = name.removesuffix("_seconds")
        clock.add_argument(f"--{stage}", type=float, default=seconds, help=f"time spent {stage} ({seconds:g})")
    clock.add_argument("--latency", type=float, default=0.0, help="real seconds before every answer (0)")
    answers = parser.add_argument_group("answers")
    answers.add_argument("--fail-rows", type=int, default=0, help="so many rows end in the error file (0)")
    answers.add_argument("--drop-rows", type=int, default=0, help="so many rows come back in no file (0)")
    answers.add_argument("--balance", type=float, default=1000.0, help="money on the account (1000)")
    names = ", ".join(field.name for field in dataclasses.fields(Behaviour))
    answers.add_argument(
        "--set",
        action="append",
        default=[],
        type=_switch,
        metavar="SWITCH=VALUE",
        help=f"what the platform leaves open: {names}",
    )
    faults = parser.add_argument_group("faults")
    faults.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="CALL:KIND[*TIMES]",
        help=f"KIND: a status such as 500, drop, hang, or cut=BYTES; CALL: {', '.join(get_args(CallName))}",
    )
    return parser


def _fault(text: str) -> tuple[CallName, dict[str, object]]:
    call, _, rest = text.partition(":")
    kind, _, times = rest.partition("*")
    if call not in get_args(CallName):
        raise argparse.ArgumentTypeError(f"{call!r} is no call; choose from {', '.join(get_args(CallName))}")
    fault: dict[str, object] = {"times": int(times or 1)}
    if kind.isdecimal() and 200 <= int(kind) <= 599:
        error_type = _ERROR_TYPES.get(int(kind), "server_error")
        fault |= {"status": int(kind), "error_type": error_type, "html": kind == "504"}
    elif kind == "drop":
        fault |= {"drop": True}
    elif kind == "hang":
        fault |= {"hang_seconds": 3600.0}
    elif kind.startswith("cut="):
        fault |= {"cut_after_bytes": int(kind.removeprefix("cut="))}
    else:
        raise argparse.ArgumentTypeError(f"{kind!r} is no fault; use a status, drop, hang or cut=BYTES")
    return call, fault  # type: ignore[return-value]


def _switch(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    kinds = get_type_hints(Behaviour)
    if name not in kinds:
        raise argparse.ArgumentTypeError(f"{name!r} is no switch; choose from {', '.join(kinds)}")
    return name, _read_value(kinds[name], value)


def _read_value(kind: Any, text: str) -> object:
    if kind is str:
        return text
    if get_origin(kind) is tuple:
        return tuple(text.split(","))
    if get_origin(kind) is Literal or kind is bool:
        choices = _BOOLEANS if kind is bool else {str(choice): choice for choice in get_args(kind)}
        if text.lower() not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is no value; choose from {', '.join(choices)}")
        return choices[text.lower()]
    return None if not text and type(None) in get_args(kind) else int(text)


def _spoil(respond: Responder, failing: int, missing: int) -> Responder:
    """Let the first rows asked fail, and the next ones come back in no file."""
    spoilt: dict[str, Answer | RowError | None] = {}

    def responder(request: Mapping[str, Any]) -> Answer | RowError | None:
        custom_id = request["custom_id"]
        if not custom_id:
            return respond(request)  # a chat call is no row
        if len(spoilt) < failing:
            spoilt.setdefault(custom_id, RowError("content_filter", "the request was rejected as high risk"))
        elif len(spoilt) < failing + missing:
            spoilt.setdefault(custom_id, None)
        return spoilt[custom_id] if custom_id in spoilt else respond(request)

    return responder


if __name__ == "__main__":
    main()
