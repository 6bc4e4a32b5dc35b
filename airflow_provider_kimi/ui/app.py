"""The part of Airflow's API server that serves the page. Every route asks Airflow who calls."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from airflow_provider_kimi.ui import account_routes, batch_routes, detail_routes, task_routes
from airflow_provider_kimi.ui.access import reader
from airflow_provider_kimi.ui.account import NoKimiConnectionError
from airflow_provider_kimi.ui.accounts import Accounts

#: What the page consists of, by the endings of its files.
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
}

#: The files of the page, by their path below the prefix of the app.
FILES: Mapping[str, Path] = {
    "/" if path.name == "index.html" else f"/{path.name}": path
    for path in sorted((Path(__file__).parent / "page").iterdir())
    if path.suffix in MEDIA_TYPES
}

#: The page runs its own scripts and asks its own server, whatever a batch holds; nothing of it is kept by a browser.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def build_app(accounts: Accounts) -> FastAPI:
    """Return the app that Airflow mounts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await accounts.aclose()

    app = FastAPI(
        title="Kimi batches",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        dependencies=[Depends(reader)],
        exception_handlers={NoKimiConnectionError: _no_connection},
    )
    app.add_middleware(_Guarded)
    app.state.accounts = accounts
    app.include_router(batch_routes.router)
    app.include_router(detail_routes.router)
    app.include_router(account_routes.router)
    app.include_router(task_routes.router)
    app.include_router(_files())
    return app


class _Guarded:
    """Puts the headers on whatever is answered, refusals too."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                guards = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = message | {"headers": [*message["headers"], *guards]}
            await send(message)

        await self._app(scope, receive, send_guarded)


async def _no_connection(_: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 404)


def _files() -> APIRouter:
    router = APIRouter()
    for path, file in FILES.items():
        _serve(router, path, file.read_bytes(), MEDIA_TYPES[file.suffix])
    return router


def _serve(router: APIRouter, path: str, content: bytes, media_type: str) -> None:
    @router.get(path)
    def file() -> Response:
        return Response(content, media_type=media_type)
