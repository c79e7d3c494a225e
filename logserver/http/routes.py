"""The routes table: a path, the methods it takes, what it answers. What is not here is refused.

`/healthz` says that the loop turns: whoever gets an answer has it. `/readyz` says whether
requests are served: not while the server recovers, drains, or has given up a log directory; each
reason is one line. Neither touches the disk.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

from logserver.http.exposition import metrics_response
from logserver.http.request import Request
from logserver.http.response import JSON, Response, text
from logserver.statistics import PageReader, PartitionsReader

Handler = Callable[[Request], Awaitable[Response]]
DOCUMENTS_PER_TURN = 64
"""Some 300 us, the cost of a few dozen produce requests."""


class Health(Protocol):
    """What the server tells about itself."""

    def unready_reasons(self) -> list[str]:
        """Why requests are not served now, a sentence each; empty = ready."""
        ...

    def clients(self) -> Iterator[dict[str, Any]]:
        """Who is connected to the Kafka port, a document each; may be left before its end."""
        ...

    def groups(self) -> Iterator[dict[str, Any]]:
        """What consumer groups do and how far they are, likewise."""
        ...


class Route(NamedTuple):
    """One row of the table; GET implies HEAD."""

    methods: tuple[str, ...]
    handler: Handler
    title: str


Routes = Mapping[str, Route]


async def dispatch(routes: Routes, request: Request) -> Response:
    """The answer of the matching row, or 404 | 405."""
    route = routes.get(request.path)
    if route is None:
        return text(404, "no such page; / lists them all")
    method = "GET" if request.method == "HEAD" else request.method
    if method not in route.methods:
        allowed = ("HEAD", *route.methods) if "GET" in route.methods else route.methods
        return text(405, f"use {' or '.join(allowed)}", ("Allow", ", ".join(allowed)))
    return await route.handler(request)


def operations_routes(
    health: Health,
    page: PageReader,
    partitions: PartitionsReader | None,
    series_paths: Sequence[str] = (),
) -> Routes:
    """The pages for operators: /, /healthz, /readyz, /metrics, /clients, /groups."""

    async def index(_: Request) -> Response:
        width = max(map(len, routes))
        return text(200, "\n".join(f"{path:<{width}}  {routes[path].title}" for path in routes))

    async def healthz(_: Request) -> Response:
        return text(200, "ok")

    async def readyz(_: Request) -> Response:
        reasons = health.unready_reasons()
        return text(503, "\n".join(reasons)) if reasons else text(200, "ready")

    async def metrics(_: Request) -> Response:
        return metrics_response(page, partitions, series_paths)

    async def clients(_: Request) -> Response:
        return Response(200, JSON, _as_json(health.clients()))

    async def groups(_: Request) -> Response:
        return Response(200, JSON, _as_json(health.groups()))

    routes = {
        "/": Route(("GET",), index, "this list"),
        "/healthz": Route(("GET",), healthz, "200 while the process answers"),
        "/readyz": Route(("GET",), readyz, "200 while requests are served, else why not"),
        "/metrics": Route(("GET",), metrics, "everything counted, for Prometheus"),
        "/clients": Route(("GET",), clients, "who is connected and what they do, as JSON"),
        "/groups": Route(("GET",), groups, "how far groups are, and why they rebalanced, as JSON"),
    }
    return routes


async def _as_json(documents: Iterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """A JSON list in pieces, giving way to the loop between them."""
    before = "["
    while some := list(islice(documents, DOCUMENTS_PER_TURN)):
        yield (before + ",\n".join(map(json.dumps, some))).encode()
        before = ",\n"
        await asyncio.sleep(0)
    yield b"[]\n" if before == "[" else b"]\n"
