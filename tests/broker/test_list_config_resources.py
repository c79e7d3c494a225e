"""ListConfigResources: what has a configuration of its own."""

import pytest

from logwire import errors
from tests.broker.control_bench import ControlBench

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SESSION = "consumer.session.timeout.ms"


@pytest.fixture
def bench() -> ControlBench:
    """A broker with a topic, a configured group and a metrics subscription."""
    bench = ControlBench()
    bench.create("a")
    for kind, name, key, value in (
        (GROUP, "g", SESSION, "46000"),
        (CLIENT_METRICS, "m", "interval.ms", "1000"),
    ):
        configs = [{"name": key, "config_operation": 0, "value": value}]
        row = {"resource_type": kind, "resource_name": name, "configs": configs}
        (answer,) = bench.call(44, 1, {"resources": [row]})["responses"]
        assert answer["error_code"] == errors.NONE, answer
    return bench


def listed(bench: ControlBench, *kinds: int, version: int = 1) -> list[tuple[int, str]]:
    """Type and name of the resources of these types."""
    answer = bench.call(74, version, {"resource_types": list(kinds)})
    assert answer["error_code"] == errors.NONE
    return [(row["resource_type"], row["resource_name"]) for row in answer["config_resources"]]


def test_resources_of_each_type_are_listed(bench: ControlBench) -> None:
    """All types when none is asked for; topics and brokers even if nothing is set for them."""
    everything = {(GROUP, "g"), (CLIENT_METRICS, "m"), (LOGGER, "1"), (BROKER, "1"), (TOPIC, "a")}
    assert set(listed(bench)) == everything
    for kind, name in everything:
        assert listed(bench, kind, kind) == [(kind, name)]


def test_the_first_version_lists_client_metrics_only(bench: ControlBench) -> None:
    """It had that name before KIP-1142."""
    answer = bench.call(74, 0, {})
    assert [row["resource_name"] for row in answer["config_resources"]] == ["m"]


def test_an_unknown_type_refuses_the_request(bench: ControlBench) -> None:
    """UNSUPPORTED_VERSION: a newer client knows it, this server does not."""
    answer = bench.call(74, 1, {"resource_types": [TOPIC, 64]})
    assert (answer["error_code"], answer["config_resources"]) == (errors.UNSUPPORTED_VERSION, [])
