"""The routes table: a path, the methods it takes, what it answers. What is not here is refused.

`/healthz` says that the loop turns: whoever gets an answer has it. `/readyz` says whether
requests are served: not while the server recovers, drains, or has given up a log directory; each
reason is one line. Neither touches the disk.
"""

import asyncio
import json
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

from logserver.http.exposition import metrics_response
from logserver.http.request import Request
from logserver.http.response import JSON, Response, text
from logserver.statistics import PageReader, PartitionsReader

Handler = Callable[[Request], Awaitable[Response]]
DOCUMENTS_PER_TURN = 64
"""Some 300 us, the cost of a few dozen produce requests."""
TURN_CHARACTERS = 8192
"""So many characters of JSON take as long."""


class Health(Protocol):
    """What the server tells about itself."""

    def unready_reasons(self) -> list[str]:
        """Why requests are not served now, a sentence each; empty = ready."""
        ...

    def clients(self) -> Iterator[dict[str, Any]]:
        """Who is connected to the Kafka port, a document each; may be left before its end."""
        ...

    def groups(self, only: Collection[str]) -> Iterator[dict[str, Any]]:
        """How far behind consumer groups are, all or some, and why they rebalanced; likewise."""
        ...

    def lag(self, only: Collection[str]) -> Iterator[dict[str, Any]]:
        """The same of each of their partitions."""
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
    """The pages for operators: /, /healthz, /readyz, /metrics, /clients, /groups, /lag."""

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

    async def groups(request: Request) -> Response:
        return Response(200, JSON, _as_json(health.groups(_named(request))))

    async def lag(request: Request) -> Response:
        return Response(200, JSON, _as_json(health.lag(_named(request))))

    routes = {
        "/": Route(("GET",), index, "this list"),
        "/healthz": Route(("GET",), healthz, "200 while the process answers"),
        "/readyz": Route(("GET",), readyz, "200 while requests are served, else why not"),
        "/metrics": Route(("GET",), metrics, "everything counted, for Prometheus"),
        "/clients": Route(("GET",), clients, "who is connected and what they do, as JSON"),
        "/groups": Route(("GET",), groups, "how far behind groups are, as JSON; ?group=NAME"),
        "/lag": Route(("GET",), lag, "the same for each partition, as JSON; ?group=NAME"),
    }
    return routes


def _named(request: Request) -> list[str]:
    """The groups that the query names, `group=billing&group=audit`; none: all are meant."""
    return parse_qs(request.query).get("group", [])


async def _as_json(documents: Iterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """A JSON list in pieces, giving way to the loop between them."""
    piece: list[str] = []
    before, size = "[", 0
    for document in documents:
        encoded = json.dumps(document)
        piece += (before, encoded)
        before = ",\n"
        size += len(encoded)
        if len(piece) >= 2 * DOCUMENTS_PER_TURN or size >= TURN_CHARACTERS:
            yield "".join(piece).encode()
            piece, size = [], 0
            await asyncio.sleep(0)
    yield ("".join(piece) + ("[]\n" if before == "[" else "]\n")).encode()
