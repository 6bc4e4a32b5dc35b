"""The app behind the page, with Airflow's own authentication in front of it."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from airflow_provider_kimi.simulator import KimiSimulator


@pytest.fixture
def airflow_users(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str | None], str]]:
    """An auth manager of Airflow with its tables; returns the token of a user with a role."""
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "0123456789abcdef" * 5)
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "tests.ui.auth_manager.PerDagAuthManager")
    from airflow import settings
    from airflow.api_fastapi.app import init_auth_manager, purge_cached_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models import import_all_models
    from airflow.models.base import Base

    import_all_models()  # type: ignore[no-untyped-call]
    Base.metadata.create_all(settings.engine)
    manager = init_auth_manager()
    yield lambda role: manager.generate_jwt(SimpleAuthManagerUser(username="somebody", role=role))
    purge_cached_app()
    Base.metadata.drop_all(settings.engine)


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Create connections in the environment."""

    def create(conn_id: str, simulator: KimiSimulator, **changes: Any) -> None:
        fields = {"conn_type": "kimi", "host": simulator.base_url, "password": simulator.api_key} | changes
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return create


@pytest.fixture
async def pages(airflow_users: Callable[[str | None], str]) -> AsyncIterator[Any]:
    from tests.ui.pages import Pages  # it needs an Airflow that shows pages

    opened = Pages(airflow_users)
    async with opened.app.router.lifespan_context(opened.app):
        yield opened
