"""UpdateFeatures (API 57): the levels of features that the cluster has agreed on.

A level that is finalized says what may be written and what clients may use: they read it from
ApiVersions. It is raised freely, and lowered only by who says so (upgrade type 2 safe, 3 unsafe).
`metadata.version` is never lowered: the records that are written already follow it. Several
updates of one request happen together or not at all.

Codes and sentences as Apache Kafka 4.3.1 gives them (FeatureControlManager), KIP-584, KIP-1022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.api_versions import SUPPORTED_FEATURES
from logserver.broker.metadata_log import change
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.metadata_log import ChangeRecord
    from logserver.broker.peer import Context

METADATA_FEATURE = "metadata.version"
UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE = 1, 2, 3
_LOSES = {
    SAFE_DOWNGRADE: "Refusing to perform the requested downgrade because it might delete metadata "
    "information.",
    UNSAFE_DOWNGRADE: "Unsafe metadata downgrade is not supported in this version.",
}
RESULTS_UNTIL = 1  # later versions answer for all features together


def handle_update_features(broker: Broker, request: Message, context: Context) -> Message:
    """Finalize the levels, or only validate; one batch of records for all of them."""
    updates = request["feature_updates"]
    try:
        levels = {item["feature"]: _level(broker, item, context) for item in updates}
        if not request.get("validate_only"):
            _finalize(broker, levels, context)
    except Refusal as refusal:
        return {"error_code": refusal.code, "error_message": refusal.message}
    named = updates if context.api_version <= RESULTS_UNTIL else []
    return {
        "error_code": errors.NONE,
        "error_message": None,
        "results": [{"feature": item["feature"], "error_code": errors.NONE} for item in named],
    }


def _level(broker: Broker, update: Message, context: Context) -> int:
    """The level that an update asks for; raises Refusal when it may not be finalized."""
    name, wanted = update["feature"], int(update["max_version_level"])
    kind = update.get("upgrade_type", UPGRADE)
    if context.api_version == 0:
        kind = SAFE_DOWNGRADE if update["allow_downgrade"] else UPGRADE
    if kind not in (UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE):
        raise _invalid(update, "The controller does not support the given upgrade type.")
    if wanted < 0:
        raise _invalid(update, "A feature version cannot be less than 0.")
    controller = f"Local controller {broker.config.node_id}"
    if name not in SUPPORTED_FEATURES:
        raise _invalid(update, f"{controller} does not support this feature.")
    low, high = SUPPORTED_FEATURES[name]
    if not low <= wanted <= high:
        raise _invalid(update, f"{controller} only supports versions {low}-{high}")
    present = broker.image.features.get(name, 0)
    if wanted < present:
        if kind == UPGRADE:
            raise _invalid(
                update,
                "Can't downgrade the version of this feature without setting the upgrade type to "
                "either safe or unsafe downgrade.",
            )
        if name == METADATA_FEATURE:
            raise _refusal(
                f"Unsupported {name} downgrade from {present} to {wanted}. {_LOSES[kind]}"
            )
    return wanted


def _invalid(update: Message, reason: str) -> Refusal:
    name, level = update["feature"], update["max_version_level"]
    return _refusal(f"Invalid update version {level} for feature {name}. {reason}")


def _refusal(sentence: str) -> Refusal:
    start = "The update failed for all features since the following feature had an error: "
    return Refusal(errors.INVALID_UPDATE_VERSION, start + sentence)


def _finalize(broker: Broker, levels: dict[str, int], context: Context) -> None:
    records: list[ChangeRecord] = [
        ("FeatureLevelRecord", 0, {"name": name, "feature_level": level})
        for name, level in levels.items()
        if broker.image.features.get(name, 0) != level
    ]
    change(broker, records, context)
