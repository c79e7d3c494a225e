"""logserver.http.response: heads and chunks, byte for byte."""

from collections.abc import AsyncIterator

from logserver.http.response import JSON, Response, chunk, head, text


def test_a_text_answer_has_length_and_guards() -> None:
    """Never cached, never sniffed, never framed."""
    answer = text(200, "ok", ("X-More", "1"))
    assert answer.body == b"ok\n"
    lines = head(answer, keep_alive=True, chunked=True).decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert "Content-Length: 3" in lines
    assert "X-More: 1" in lines
    assert "Cache-Control: no-store" in lines
    assert "X-Content-Type-Options: nosniff" in lines
    assert "Connection: keep-alive" in lines
    assert lines[-2:] == ["", ""]


def test_a_stream_is_chunked_or_ends_with_the_connection() -> None:
    """HTTP/1.0 has no chunks."""

    async def body() -> AsyncIterator[bytes]:
        yield b""

    answer = Response(503, JSON, body())
    assert b"Transfer-Encoding: chunked" in head(answer, keep_alive=True, chunked=True)
    plain = head(answer, keep_alive=False, chunked=False)
    assert b"Transfer-Encoding" not in plain
    assert b"Content-Length" not in plain
    assert b"Connection: close" in plain


def test_an_empty_chunk_is_nothing() -> None:
    """The empty chunk would end the body."""
    assert chunk(b"") == b""
    assert chunk(b"x" * 16) == b"10\r\n" + b"x" * 16 + b"\r\n"
