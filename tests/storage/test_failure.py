"""Refusals of storage carry a kind for programs and a sentence for people."""

from __future__ import annotations

from logserver.storage.failure import Kind, StorageError


def test_an_error_is_its_sentence_and_its_kind() -> None:
    """The command line prints the one and exits by the other."""
    error = StorageError(Kind.LOCKED, "cannot open data dir data: locked by pid 4242.")
    assert str(error) == "cannot open data dir data: locked by pid 4242."
    assert error.kind is Kind.LOCKED
