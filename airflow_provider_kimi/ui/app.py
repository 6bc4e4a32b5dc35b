"""The part of Airflow's API server that serves the page. Every route asks Airflow who calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from airflow_provider_kimi.hooks.kimi import KimiHook
from airflow_provider_kimi.ui.access import GetUserDep, may_read, reader
from airflow_provider_kimi.ui.batch_lists import BatchLists, NoKimiConnectionError

#: The files of the page, by their path below the prefix of the app.
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/texts.json": ("texts.json", "application/json"),
}

#: The page runs its own script and asks its own server, whatever a batch holds; nothing of it is kept by a browser.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def build_app(lists: BatchLists) -> FastAPI:
    """Return the app that Airflow mounts."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await lists.aclose()

    app = FastAPI(
        title="Kimi batches",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        dependencies=[Depends(reader)],
    )
    for path, (name, kind) in FILES.items():
        _serve(app, path, (Path(__file__).parent / name).read_bytes(), kind)

    @app.get("/batches")
    async def batches(request: Request, user: GetUserDep, conn_id: str = KimiHook.default_conn_name) -> JSONResponse:
        try:
            seen = await lists.look(conn_id)
        except NoKimiConnectionError as error:
            raise HTTPException(404, str(error)) from None
        visible = await run_in_threadpool(_visible, request, user, seen.batches)
        shown = {"age_seconds": lists.age_of(seen), "is_whole": seen.is_whole, "error": seen.error}
        return JSONResponse({"batches": visible, **shown}, headers=HEADERS)

    return app


def _serve(app: FastAPI, path: str, content: bytes, kind: str) -> None:
    @app.get(path)
    def file() -> Response:
        return Response(content, media_type=kind, headers=HEADERS)


def _visible(request: Request, user: GetUserDep, batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the batches whose DAG the user may see. Blocks."""
    allowed = {dag_id: may_read(request, user, dag_id) for dag_id in {batch["dag_id"] for batch in batches}}
    return [batch for batch in batches if allowed[batch["dag_id"]]]
