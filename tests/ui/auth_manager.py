"""An auth manager as companies write them: one user may not see one DAG."""

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PerDagAuthManager(SimpleAuthManager):
    """Airflow's simple auth manager, but the DAG `salaries` is hidden from everybody below the administrator."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        if details is not None and details.id == "salaries" and user.role != "admin":
            return False
        return super().is_authorized_dag(user=user, details=details, **asked)
