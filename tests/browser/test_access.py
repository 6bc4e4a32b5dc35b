"""Whoever is not logged in gets nothing, whatever route is asked; whoever may only look changes nothing."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from airflow_provider_kimi.ui.accounts import Accounts
from airflow_provider_kimi.ui.app import build_app
from airflow_provider_kimi.ui.plugin import PREFIX
from tests.browser.conftest import Place

REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def status_of(url: str, method: str, **headers: str) -> int:
    """What a program gets that has no browser."""
    body = None if method == "GET" else b"{}"
    request = urllib.request.Request(
        url, method=method, data=body, headers={"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def routes() -> Iterator[tuple[str, str]]:
    """Every method and path that the app answers, taken from the app; one that is mounted answers below its path."""
    for route in build_app(Accounts()).routes:
        path = getattr(route, "path_format", "")
        for method in getattr(route, "methods", None) or {"GET", "POST"}:
            yield method, path.replace("{", "").replace("}", "")
            if not hasattr(route, "methods"):
                yield method, f"{path}/page.js"


@pytest.mark.parametrize("token", ["", "x.y.z"])
def test_no_route_answers_whoever_is_not_logged_in(place: Place, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    seen = {
        (method, path): status_of(f"{place.airflow.url}{PREFIX}{path}", method, **headers) for method, path in routes()
    }
    assert ("GET", "/batches") in seen
    assert {asked: status for asked, status in seen.items() if status not in REFUSED} == {}


def test_no_parameter_opens_a_route(place: Place) -> None:
    for query in ("conn_id=kimi_default", "dag_id=assets", "token=x", "_token=x"):
        assert status_of(f"{place.airflow.url}{PREFIX}/batches?{query}", "GET") in REFUSED, query


def test_the_app_has_no_documentation_of_its_own(place: Place) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert status_of(f"{place.airflow.url}{PREFIX}{path}", "GET") == HTTPStatus.NOT_FOUND, path
