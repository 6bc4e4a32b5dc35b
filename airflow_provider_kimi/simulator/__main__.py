"""`python -m airflow_provider_kimi.simulator`: the simulator as a process."""

import argparse
import contextlib
import dataclasses
import signal
from typing import get_args

from airflow_provider_kimi.simulator.answers import Answer, Responder, RowError, label_answer
from airflow_provider_kimi.simulator.behaviour import Behaviour, Timing
from airflow_provider_kimi.simulator.faults import CallName
from airflow_provider_kimi.simulator.server import KimiSimulator


def main() -> None:
    """Parse the switches, say where it listens, serve until interrupted."""
    options = _parser().parse_args()
    simulator = KimiSimulator(
        options.port,
        api_key=options.api_key,
        speed=options.speed,
        timing=Timing(options.validating, options.working, options.finalizing, options.cancelling),
        behaviour=_behaviour(options.set),
        responder=_spoil(label_answer, options.fail_rows, options.drop_rows),
        balance=options.balance,
    )
    for call, fault in options.fault:
        simulator.inject(call, **fault)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"ready {simulator.base_url}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        simulator.serve()


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
    answers = parser.add_argument_group("answers")
    answers.add_argument("--fail-rows", type=int, default=0, help="so many rows end in the error file (0)")
    answers.add_argument("--drop-rows", type=int, default=0, help="so many rows come back in no file (0)")
    answers.add_argument("--balance", type=float, default=1000.0, help="money on the account (1000)")
    names = ", ".join(field.name for field in dataclasses.fields(Behaviour))
    answers.add_argument(
        "--set",
        action="append",
        default=[],
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
    if kind.isdigit():
        fault |= {"status": int(kind), "html": kind == "504"}
    elif kind == "drop":
        fault |= {"drop": True}
    elif kind == "hang":
        fault |= {"hang_seconds": 3600.0}
    elif kind.startswith("cut="):
        fault |= {"cut_after_bytes": int(kind.removeprefix("cut="))}
    else:
        raise argparse.ArgumentTypeError(f"{kind!r} is no fault; use a status, drop, hang or cut=BYTES")
    return call, fault  # type: ignore[return-value]


def _behaviour(switches: list[str]) -> Behaviour:
    values: dict[str, object] = {}
    known = dataclasses.asdict(Behaviour())
    for switch in switches:
        name, _, text = switch.partition("=")
        if name not in known:
            raise SystemExit(f"{name!r} is no switch; choose from {', '.join(known)}")
        values[name] = _read_like(known[name], text)
    return Behaviour(**values)  # type: ignore[arg-type]


def _read_like(example: object, text: str) -> object:
    if isinstance(example, bool):
        return text.lower() in ("1", "true", "yes", "on")
    if isinstance(example, int):
        return int(text) if text else None
    return tuple(text.split(",")) if isinstance(example, tuple) else text


def _spoil(respond: Responder, failing: int, missing: int) -> Responder:
    """Let the first rows asked fail, and the next ones come back in no file."""
    spoilt: dict[str, Answer | RowError | None] = {}

    def responder(request: object) -> Answer | RowError | None:
        custom_id = str(request["custom_id"])  # type: ignore[index]
        if len(spoilt) < failing:
            spoilt.setdefault(custom_id, RowError("content_filter", "the request was rejected as high risk"))
        elif len(spoilt) < failing + missing:
            spoilt.setdefault(custom_id, None)
        return spoilt[custom_id] if custom_id in spoilt else respond(request)  # type: ignore[arg-type]

    return responder


if __name__ == "__main__":
    main()
