"""Committed offsets in memory, beside a model: one flat dict."""

from __future__ import annotations

from random import Random

from logserver.broker.groups.offset_store import (
    CHARACTER_BYTES,
    OFFSET_BYTES,
    CommittedOffset,
    OffsetStore,
)

SEED = 20_261_122


def test_the_store_agrees_with_a_flat_dict() -> None:
    """Whatever is put and removed; what is empty leaves nothing behind."""
    print(f"seed {SEED}")
    random = Random(SEED)
    store = OffsetStore()
    model: dict[tuple[str, str, int], CommittedOffset] = {}
    for step in range(3000):
        key = (random.choice("ab"), random.choice("xyz"), random.randrange(3))
        if random.random() < 0.5:
            text = "x" * random.randrange(3)
            committed = CommittedOffset(step, 0, text, step, -1, bytes(16))
            store.put(*key, committed)
            model[key] = committed
        else:
            store.remove(*key)
            model.pop(key, None)
        assert store.count == len(model)
        characters = sum(1 + len(committed.metadata) for committed in model.values())
        assert store.held_bytes == OFFSET_BYTES * len(model) + CHARACTER_BYTES * characters
        assert store.get(*key) == model.get(key)
    for group_id in "abc":
        listed = [(topic, index) for group, topic, index in model if group == group_id]
        assert sorted(store.listed(group_id)) == sorted(listed)
    for key in list(model):
        store.remove(*key)
    assert (store.by_group, store.count, store.held_bytes) == ({}, 0, 0)


def test_an_unknown_group_has_no_offsets() -> None:
    """And reading makes none."""
    store = OffsetStore()
    assert store.of_group("g") == {}
    assert store.get("g", "t", 0) is None
    assert store.by_group == {}
