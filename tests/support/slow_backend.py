"""An XCom backend that takes its time for each value, as an object storage far away does."""

import os
import threading
import time
from typing import Any

from airflow.sdk.bases.xcom import BaseXCom

SECONDS = float(os.environ.get("SLOW_BACKEND_SECONDS", "0"))

#: When each value began to be stored, and whether that was in the main thread.
stored: list[tuple[float, bool]] = []

#: How many are stored now, and were at most at a time.
counts = {"now": 0, "most": 0}


class SlowBackend(BaseXCom):
    """Stores a value as Airflow does, some seconds later."""

    @staticmethod
    def serialize_value(value: Any, **place: Any) -> Any:
        """Take the time."""
        stored.append((time.monotonic(), threading.current_thread() is threading.main_thread()))
        counts["now"] += 1
        counts["most"] = max(counts.values())
        time.sleep(SECONDS)
        counts["now"] -= 1
        return BaseXCom.serialize_value(value)
