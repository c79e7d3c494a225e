"""Subscriptions: which clients they concern, and what is wanted of a client."""

import pytest

from logserver.broker.image import CLIENT_METRICS_RESOURCE, Image
from logserver.broker.telemetry.subscriptions import (
    NOTHING,
    Wanted,
    check_subscription,
    compiled,
    subscriptions_of,
    wanted_of,
)
from logwire.errors import Refusal

CLIENT = {"client_id": "pay-1", "client_software_name": "java", "client_software_version": "4.3.1"}


def wanted(*overrides: dict[str, str]) -> Wanted:
    """What is wanted of the client under these subscriptions."""
    return wanted_of([compiled("", one) for one in overrides], CLIENT)


def test_without_a_subscription_nothing_is_wanted() -> None:
    """And the client may rest for five minutes."""
    assert wanted() == NOTHING == Wanted((), 300_000)
    assert wanted({"interval.ms": "100"}) == NOTHING


def test_subscriptions_are_joined() -> None:
    """All metrics, each once, at the shortest interval; a star stands for all of them."""
    slow, fast = {"metrics": "b,a", "interval.ms": "9000"}, {"metrics": "b", "interval.ms": "700"}
    assert wanted(slow, fast) == Wanted(("a", "b"), 700)
    assert wanted(slow, {"metrics": "*"}) == Wanted(("*",), 9000)
    assert wanted({"metrics": "a", "interval.ms": "3600000"}) == Wanted(("a",), 300_000)


@pytest.mark.parametrize(
    ("match", "concerned"),
    [
        ("", True),
        ("client_id=pay-.*", True),
        ("client_id=pay", False),
        ("client_id=pay-.*,client_software_version=4\\..*", True),
        ("client_id=pay-.*,client_software_version=3\\..*", False),
        ("client_instance_id=.*", False),
    ],
)
def test_every_pattern_must_fit_the_whole_of_its_text(match: str, concerned: bool) -> None:
    """A text that is not known fits none."""
    assert (wanted({"metrics": "a", "match": match}) != NOTHING) is concerned


def test_long_and_foreign_texts_are_matched_at_their_beginning() -> None:
    """A client id may have 32 KB of anything."""
    subscription = compiled("", {"metrics": "a", "match": "client_id=.*"})
    for text in ("x" * 32_767, "\u00fcml\u00e4ut"):
        assert wanted_of([subscription], {"client_id": text}).metrics == ("a",)


def test_the_metadata_log_is_the_source(caplog: pytest.LogCaptureFixture) -> None:
    """One that cannot be read is left out and told, the others count."""
    image = Image()
    for name, key, value in (("a", "metrics", "x"), ("b", "match", "client_id=(")):
        record = {"resource_type": CLIENT_METRICS_RESOURCE, "resource_name": name}
        image.apply("ConfigRecord", {**record, "name": key, "value": value})
    assert [one.name for one in subscriptions_of(image)] == ["a"]
    assert "client metrics subscription b is not followed" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "code"),
    [({"x": "1"}, 42), ({"interval.ms": "99"}, 42), ({"interval.ms": "x"}, 40)],
)
def test_what_could_not_be_used_is_refused(overrides: dict[str, str], code: int) -> None:
    """With Kafka's code for each."""
    with pytest.raises(Refusal) as caught:
        check_subscription(overrides)
    assert caught.value.code == code
    check_subscription({"interval.ms": "100", "match": "client_source_port=1.*"})
