"""Airflow's stats: where metrics go, if the deployment has a backend for them."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from threading import Lock, Thread

from airflow_provider_kimi.compat import airflow_stats
from airflow_provider_kimi.metrics import Metric

#: Held while a thread sends.
_turn = Lock()

_log = logging.getLogger(__name__)


def send(metrics: Iterable[Metric]) -> None:
    """Send metrics. Whatever a backend says of them fails nothing, and leaves out the rest."""
    try:
        stats = airflow_stats()
        for metric in metrics:
            if isinstance(metric.value, timedelta):
                stats.timing(metric.name, metric.value, tags=dict(metric.tags))
            else:
                stats.incr(metric.name, metric.value, tags=dict(metric.tags))
    except Exception as error:  # of any client of any backend
        _log.debug("Metrics were not sent (%s: %s)", type(error).__name__, error)


def send_aside(metrics: Iterable[Metric]) -> None:
    """Send metrics without holding up an event loop, since a backend may look up its host.

    While it does, others are left out.
    """
    if (found := list(metrics)) and _turn.acquire(blocking=False):
        Thread(target=_send_in_turn, args=(found,), name="kimi-metrics", daemon=True).start()


def _send_in_turn(metrics: Iterable[Metric]) -> None:
    try:
        send(metrics)
    finally:
        _turn.release()
