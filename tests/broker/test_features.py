"""UpdateFeatures: what may be finalized, and what stays."""

import errno

import pytest

from logserver.broker.metadata_log import GROUP_VERSION, METADATA_VERSION
from logwire import errors
from tests.broker.control_bench import ControlBench

METADATA = "metadata.version"
UPGRADE, SAFE, UNSAFE = 1, 2, 3
Update = tuple[str, int, int]


def update(
    bench: ControlBench, *updates: Update, version: int = 2, validate_only: bool = False
) -> tuple[int, str]:
    """Code of the answer, and its sentence behind what all of them begin with."""
    rows = [
        {"feature": name, "max_version_level": level, "upgrade_type": kind}
        for name, level, kind in updates
    ]
    request = {"feature_updates": rows, "validate_only": validate_only}
    answer = bench.call(57, version, request)
    start = "The update failed for all features since the following feature had an error: "
    return answer["error_code"], (answer["error_message"] or "").removeprefix(start)


def test_a_level_that_stands_already_may_be_asked_for() -> None:
    """Nothing is written; before version 2 each feature has a result of its own."""
    bench = ControlBench()
    end_offset = bench.broker.metadata_log.log.end_offset
    assert update(bench, (METADATA, METADATA_VERSION, UPGRADE)) == (errors.NONE, "")
    assert update(bench) == (errors.NONE, "")
    row = {"feature": METADATA, "max_version_level": METADATA_VERSION, "allow_downgrade": False}
    results = bench.call(57, 0, {"feature_updates": [row]})["results"]
    assert [(row["feature"], row["error_code"]) for row in results] == [(METADATA, errors.NONE)]
    assert bench.broker.metadata_log.log.end_offset == end_offset


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (("no.version", 1, UPGRADE), "1 does not support this feature."),
        (
            (METADATA, METADATA_VERSION + 1, UPGRADE),
            f"1 only supports versions 7-{METADATA_VERSION}",
        ),
        ((METADATA, 6, UNSAFE), f"Local controller 1 only supports versions 7-{METADATA_VERSION}"),
        ((METADATA, -1, UNSAFE), "A feature version cannot be less than 0."),
        (
            (METADATA, METADATA_VERSION, 9),
            "The controller does not support the given upgrade type.",
        ),
        (
            (METADATA, 7, UPGRADE),
            "without setting the upgrade type to either safe or unsafe downgr",
        ),
        (
            (METADATA, 7, SAFE),
            f"Unsupported metadata.version downgrade from {METADATA_VERSION} to 7",
        ),
        ((METADATA, 7, UNSAFE), "Unsafe metadata downgrade is not supported in this version."),
    ],
)
def test_what_may_not_be_finalized_is_refused_in_kafkas_words(
    wanted: Update, sentence: str
) -> None:
    """INVALID_UPDATE_VERSION for the whole request, and nothing changes."""
    bench = ControlBench()
    features = dict(bench.broker.image.features)
    code, message = update(bench, (METADATA, METADATA_VERSION, UPGRADE), wanted)
    assert code == errors.INVALID_UPDATE_VERSION
    assert sentence in message
    assert bench.broker.image.features == features


def test_a_level_goes_up_and_down_and_survives_a_restart() -> None:
    """Clients read it from ApiVersions; validation alone changes nothing."""
    name, high = "group.version", GROUP_VERSION
    bench = ControlBench()
    update(bench, (name, high, UPGRADE))
    assert update(bench, (name, 0, SAFE), validate_only=True) == (errors.NONE, "")
    assert bench.broker.image.features[name] == high
    assert update(bench, (name, 0, UPGRADE))[0] == errors.INVALID_UPDATE_VERSION
    assert update(bench, (name, 0, SAFE)) == (errors.NONE, "")
    assert bench.context.after_sync
    bench.restart(clean=False)
    finalized = bench.call(18, 4, {"client_software_name": "a", "client_software_version": "1"})
    assert name not in [row["name"] for row in finalized["finalized_features"]]


def test_a_sick_disk_refuses_the_update() -> None:
    """What could not be written is not finalized."""
    name, high = "group.version", GROUP_VERSION
    bench = ControlBench()
    update(bench, (name, high, UPGRADE))
    bench.sync()
    bench.broker.fence(OSError(errno.EIO, "sick"))
    assert update(bench, (name, 0, SAFE))[0] == errors.KAFKA_STORAGE_ERROR
    assert bench.broker.image.features[name] == high
