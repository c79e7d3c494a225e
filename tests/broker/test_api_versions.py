"""ApiVersions: ranges that old clients take their features from."""

import pytest

from logserver.broker.authorization import AUTHORIZATION
from logwire import errors
from logwire.messages import APIS
from tests.broker.control_bench import ControlBench

SOFTWARE = {"client_software_name": "bench", "client_software_version": "1.0-rc.1"}

# librdkafka 2.0.2 enables a feature when single versions are offered (rdkafka_feature.c).
POINT_VERSIONS = {
    "record batches v2": [(0, 3), (1, 4)],
    "compression with gzip, snappy, lz4": [(0, 0)],
    "lz4": [(10, 0)],
    # OffsetCommit 1 to 2, of which Kafka 4 and we serve the latter.
    "balanced consumers": [(10, 0), (8, 2), (9, 1), (11, 0), (12, 0), (13, 0), (14, 0)],
    "offsets by time": [(2, 1)],
    "idempotence": [(22, 0)],
    "zstd": [(0, 7), (1, 10)],
    "ApiVersions": [(18, 0)],
}


@pytest.fixture
def bench() -> ControlBench:
    """A broker with nothing."""
    return ControlBench()


@pytest.mark.parametrize("version", range(6))
def test_every_version_lists_what_is_served(bench: ControlBench, version: int) -> None:
    """Produce is offered from 0 and served from 3."""
    answer = bench.call(18, version, SOFTWARE)
    rows = {r["api_key"]: (r["min_version"], r["max_version"]) for r in answer["api_keys"]}
    assert answer["error_code"] == errors.NONE
    apis = [APIS[key] for key in AUTHORIZATION]
    assert rows == {api.key: (api.advertised_min, api.max_version) for api in apis}
    assert rows[0] == (0, 13)


@pytest.mark.parametrize("feature", POINT_VERSIONS)
def test_old_librdkafka_finds_the_versions_it_looks_for(bench: ControlBench, feature: str) -> None:
    """A range that lacks one of them loses the feature in silence."""
    rows = {row["api_key"]: row for row in bench.call(18, 0, {})["api_keys"]}
    for key, version in POINT_VERSIONS[feature]:
        assert rows[key]["min_version"] <= version <= rows[key]["max_version"]


def test_features_are_told_but_not_transactions(bench: ControlBench) -> None:
    """transaction.version 2 would make clients leave out requests."""
    answer = bench.call(18, 4, SOFTWARE)
    names = [row["name"] for row in answer["supported_features"]]
    assert names == ["metadata.version", "group.version"]
    assert [(row["name"], row["max_version_level"]) for row in answer["finalized_features"]] == [
        ("metadata.version", 30),
        ("group.version", 1),
    ]
    assert answer["finalized_features_epoch"] >= 0


@pytest.mark.parametrize("name", ["", "-x", "x-", "a b", "\u00e9"])
def test_a_malformed_software_name_is_refused(bench: ControlBench, name: str) -> None:
    """As ApiVersionsRequest.isValid does, from version 3 on."""
    answer = bench.call(18, 3, {**SOFTWARE, "client_software_name": name})
    assert (answer["error_code"], answer["api_keys"]) == (errors.INVALID_REQUEST, [])


def test_a_client_of_another_cluster_or_node_is_sent_back(bench: ControlBench) -> None:
    """Version 5 (KIP-1242): better than answering for the wrong cluster."""
    right = {**SOFTWARE, "cluster_id": bench.broker.cluster_id, "node_id": 1}
    assert bench.call(18, 5, right)["error_code"] == errors.NONE
    for wrong in ({"cluster_id": "other"}, {"node_id": 2}):
        answer = bench.call(18, 5, {**right, **wrong})
        assert answer["error_code"] == errors.REBOOTSTRAP_REQUIRED
