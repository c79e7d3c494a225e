"""logserver.http.routes: what is in the table is answered, everything else refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from logserver.http.request import Request
from logserver.http.response import Response
from logserver.http.routes import Routes, dispatch, operations_routes
from logserver.statistics import PageReader


class FixedHealth:
    """A server that is ready, or has these reasons not to be."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.connected: list[dict[str, Any]] = []

    def unready_reasons(self) -> list[str]:
        """As given."""
        return self.reasons

    def clients(self) -> Iterator[dict[str, Any]]:
        """As many as the test has set."""
        return iter(self.connected)

    def groups(self, only: Collection[str]) -> Iterator[dict[str, Any]]:
        """Who was asked for what."""
        return iter([{"path": "/groups", "only": list(only)}])

    def lag(self, only: Collection[str]) -> Iterator[dict[str, Any]]:
        """Likewise."""
        return iter([{"path": "/lag", "only": list(only)}])


def routes_for(tmp_path: Path, *reasons: str) -> Routes:
    """The operators' pages without a statistics page."""
    return operations_routes(FixedHealth(*reasons), PageReader(str(tmp_path / "none")), None)


def ask(routes: Routes, path: str, method: str = "GET") -> Response:
    """Dispatch one request."""
    fields: Mapping[str, str] = {}
    request = Request(method, path, "", fields, keep_alive=True, chunked_ok=True)
    return asyncio.run(dispatch(routes, request))


def test_health_is_ok_as_long_as_the_loop_turns(tmp_path: Path) -> None:
    """Even when nothing else works: a restart would not mend a fenced disk."""
    answer = ask(routes_for(tmp_path, "fenced"), "/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_readiness_gives_its_reasons(tmp_path: Path) -> None:
    """200 when ready, else 503 with a line per reason."""
    assert ask(routes_for(tmp_path), "/readyz").body == b"ready\n"
    answer = ask(routes_for(tmp_path, "draining", "log directory data is fenced"), "/readyz")
    assert answer.status == 503
    assert answer.body == b"draining\nlog directory data is fenced\n"


def test_the_index_lists_every_page(tmp_path: Path) -> None:
    """Whoever opens the port in a browser finds the way."""
    routes = routes_for(tmp_path)
    body = ask(routes, "/").body
    assert isinstance(body, bytes)
    assert [line.split()[0] for line in body.decode().splitlines()] == list(routes)


@pytest.mark.parametrize("path", ["/nope", "/metrics/", "//metrics", "/METRICS", "/../healthz"])
def test_an_unknown_path_is_404(tmp_path: Path, path: str) -> None:
    """No normalisation, no guessing."""
    assert ask(routes_for(tmp_path), path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_another_method_is_405_and_told_which_are_allowed(tmp_path: Path, method: str) -> None:
    """RFC 9110: 405 carries Allow."""
    answer = ask(routes_for(tmp_path), "/metrics", method)
    assert answer.status == 405
    assert ("Allow", "HEAD, GET") in answer.fields


@pytest.mark.parametrize("count", [0, 1, 64, 65, 200])
def test_clients_are_a_json_list_in_pieces(tmp_path: Path, count: int) -> None:
    """The loop gets its turn between pieces; what they make up is one document."""
    health = FixedHealth()
    health.connected = [{"client_id": f"ä{number}"} for number in range(count)]
    routes = operations_routes(health, PageReader(str(tmp_path / "none")), None)

    async def body() -> list[bytes]:
        response = await routes["/clients"].handler(
            Request("GET", "/clients", "", {}, keep_alive=True, chunked_ok=True)
        )
        assert isinstance(response.body, AsyncIterator)
        return [piece async for piece in response.body]

    pieces = asyncio.run(body())
    assert json.loads(b"".join(pieces)) == health.connected
    assert len(pieces) >= count / 64


@pytest.mark.parametrize("path", ["/groups", "/lag"])
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", []),
        ("group=readers", ["readers"]),
        ("group=a%20b%26c&group=%C3%A4&other=x", ["a b&c", "\u00e4"]),
        ("group=", []),
        ("%ff=%ff;&&==", []),
    ],
)
def test_groups_are_told_as_json(tmp_path: Path, path: str, query: str, named: list[str]) -> None:
    """All of them, or those that the query names."""
    health = FixedHealth()
    routes = operations_routes(health, PageReader(str(tmp_path / "none")), None)

    async def body() -> bytes:
        request = Request("GET", path, query, {}, keep_alive=True, chunked_ok=True)
        response = await routes[path].handler(request)
        assert isinstance(response.body, AsyncIterator)
        return b"".join([piece async for piece in response.body])

    assert json.loads(asyncio.run(body())) == [{"path": path, "only": named}]


def test_long_documents_leave_in_shorter_pieces(tmp_path: Path) -> None:
    """What counts for the loop is how much is written, not how many."""
    health = FixedHealth()
    health.connected = [{"client_id": "x" * 10_000}] * 10
    routes = operations_routes(health, PageReader(str(tmp_path / "none")), None)

    async def body() -> list[bytes]:
        request = Request("GET", "/clients", "", {}, keep_alive=True, chunked_ok=True)
        response = await routes["/clients"].handler(request)
        assert isinstance(response.body, AsyncIterator)
        return [piece async for piece in response.body]

    pieces = asyncio.run(body())
    assert json.loads(b"".join(pieces)) == health.connected
    assert len(pieces) >= 5
