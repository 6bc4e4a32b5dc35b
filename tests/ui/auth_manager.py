"""An auth manager as companies write them: one user may not see one DAG, and few may act on all DAGs."""

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class PerDagAuthManager(SimpleAuthManager):
    """Airflow's simple auth manager, but the DAG `salaries` is hidden from everybody below the administrator.

    As in FAB's, a question for the task instances of no DAG says nothing of the DAGs that they are of.
    """

    def is_authorized_dag(self, *, user: Any, details: Any = None, **asked: Any) -> bool:
        is_of_all_dags = details is not None and details.id is None and asked.get("access_entity") is None
        if details is not None and (details.id == "salaries" or is_of_all_dags) and user.role != "admin":
            return False
        return super().is_authorized_dag(user=user, details=details, **asked)
