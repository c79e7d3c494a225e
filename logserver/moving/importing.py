"""`logserver import`: a data directory made of what Apache Kafka has written.

    survey      the directories, their partitions, Kafka's metadata; what cannot be is refused here
    partitions  one after the other (`kafka_partition`)
    metadata    topics, ids and configurations, as one change of our own metadata log
    stop        the durable mark and the clean marker, as any clean stop leaves them

The metadata log is written last: until then `serve` refuses the directory, because partitions
without topics could only be deleted. What was made is removed again when the import ends early.

Where the configuration of topics is not known (a directory without `__cluster_metadata-0`, as
ZooKeeper's Kafka had), all of them keep their records for ever: a default of seven days would
delete what was just imported.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from logserver.broker.create_topics import partition_record
from logserver.broker.directories import METADATA_DIRECTORY
from logserver.broker.image import TOPIC_RESOURCE, Image
from logserver.broker.metadata_log import (
    METADATA_CONFIG,
    METADATA_TOPIC_ID,
    PRODUCER_IDS_COUNT,
    ChangeRecord,
    MetadataLog,
)
from logserver.config import ConfigError, load, topic_config
from logserver.moving.kafka_directory import KafkaDirectory, PartitionSource, kafka_directory
from logserver.moving.kafka_metadata import KafkaMetadata, read_metadata
from logserver.moving.kafka_partition import Imported, Transactional, import_partition
from logserver.moving.transfer import Transfer, only_whole, require_apart
from logserver.storage.directory import LogDirectory
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import Files
from logserver.storage.identity import create_identity

OFFSETS_TOPIC: Final = "__consumer_offsets"
# Kafka keeps these for transactions and share groups: they hold no record of anybody's.
LEFT_OUT: Final = ("__transaction_state", "__share_group_state", "__remote_log_metadata")
NOTHING_KNOWN: Final = (
    "there is no __cluster_metadata-0, so the configuration of topics is not known: every topic "
    "keeps its records for ever until `logserver topic alter` says otherwise"
)
KEEP_FOR_EVER: Final = {"retention.ms": "-1", "retention.bytes": "-1"}
INTERNAL: Final = {OFFSETS_TOPIC: {"cleanup.policy": "compact"}}


class TopicSource(NamedTuple):
    """One topic to be imported: partitions by index, gapless; configuration as text."""

    name: str
    topic_id: bytes
    partitions: list[PartitionSource]
    configs: dict[str, str]


class Survey(NamedTuple):
    """What is to be imported, and what a person should hear about it."""

    topics: list[TopicSource]
    cluster_id: str
    node_id: int
    next_producer_id: int
    notes: list[str]


class ImportedTopic(NamedTuple):
    """One topic as it was imported."""

    name: str
    topic_id: bytes
    partition_count: int
    record_count: int
    size_bytes: int
    configs: Mapping[str, str]


class Report(NamedTuple):
    """What an import did."""

    topics: list[ImportedTopic]
    cluster_id: str
    node_id: int
    linked_bytes: int
    copied_bytes: int
    notes: list[str]


def import_kafka(
    files: Files,
    sources: Sequence[str],
    target: str,
    *,
    exclude: Sequence[str] = (),
    links: bool = True,
    now_ms: int,
    random: Random,
    progress: Callable[[int, int], None],
) -> Report:
    """Import the log directories of one broker. Raises StorageError, OSError.

    `target` is made, or empty. LOCKED: a broker runs. FORMAT: transactions, old records.
    """
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(kafka_directory(files, path)) for path in sources]
        for path in sources:
            require_apart(path, target)
        survey = take_survey(files, opened, exclude, random)
        if not survey.topics:
            raise StorageError(Kind.IDENTITY, f"{sources[0]} holds no topic to import.")
        stack.enter_context(only_whole(files, target))
        transfer = Transfer(links=links)
        imported = _carry_all(files, survey, target, transfer, progress)
        _finish(files, survey, imported, target, now_ms, random)
    topics = [
        ImportedTopic(
            topic.name,
            topic.topic_id,
            len(topic.partitions),
            sum(imported[one.name].record_count for one in topic.partitions),
            sum(imported[one.name].size_bytes for one in topic.partitions),
            topic.configs,
        )
        for topic in survey.topics
    ]
    notes = survey.notes + [
        f"{name}: {one.cut_bytes} bytes after offset {one.mark.offset} are no whole batch and are "
        "left out, as Kafka's own recovery would"
        for name, one in imported.items()
        if one.cut_bytes
    ]
    return Report(
        topics,
        survey.cluster_id,
        survey.node_id,
        transfer.linked_bytes,
        transfer.copied_bytes,
        notes,
    )


# Survey


def take_survey(
    files: Files, directories: Sequence[KafkaDirectory], exclude: Sequence[str], random: Random
) -> Survey:
    """Decide what is imported. Raises StorageError (IDENTITY, CORRUPT), OSError."""
    first = directories[0]
    for other in directories[1:]:
        if (other.cluster_id, other.node_id) != (first.cluster_id, first.node_id):
            raise StorageError(
                Kind.IDENTITY,
                f"{first.path} and {other.path} belong to different brokers. Name the log "
                "directories of one.",
            )
    paths = [one.metadata_path for one in directories if one.metadata_path]
    metadata = read_metadata(files, paths[0]) if paths else None
    notes = _left_out_notes(metadata)
    by_topic: dict[str, dict[int, PartitionSource]] = {}
    for partition in (partition for one in directories for partition in one.partitions):
        if partition.topic in exclude or partition.topic in LEFT_OUT:
            continue
        if metadata is not None and not _is_live(metadata.image, partition):
            notes.append(f"{partition.path} belongs to no topic of the cluster: left out")
            continue
        by_topic.setdefault(partition.topic, {})[partition.partition] = partition
    for name in exclude:
        if not any(name == one.topic for directory in directories for one in directory.partitions):
            raise StorageError(Kind.IDENTITY, f"there is no topic {name} to leave out.")
    topics = [
        _topic(name, partitions, metadata, notes, random)
        for name, partitions in sorted(by_topic.items())
    ]
    next_id = metadata.image.next_producer_id if metadata is not None else 0
    return Survey(topics, first.cluster_id, first.node_id, next_id, notes)


def _left_out_notes(metadata: KafkaMetadata | None) -> list[str]:
    if metadata is None:
        return [NOTHING_KNOWN]
    return [
        f"{count} {what} are not imported: nobody is authenticated yet"
        for what, count in sorted(metadata.left_out.items())
    ]


def _is_live(image: Image, partition: PartitionSource) -> bool:
    """Whether the cluster knows the partition: a deletion may have left its directory."""
    topic = image.topics_by_name.get(partition.topic)
    return (
        topic is not None
        and partition.partition in topic.partitions
        and partition.topic_id in (None, topic.topic_id)
    )


def _topic(
    name: str,
    partitions: dict[int, PartitionSource],
    metadata: KafkaMetadata | None,
    notes: list[str],
    random: Random,
) -> TopicSource:
    known = metadata.image.topics_by_name[name] if metadata is not None else None
    count = len(known.partitions) if known is not None else max(partitions) + 1
    missing = [str(index) for index in range(count) if index not in partitions]
    if missing:
        raise StorageError(
            Kind.CORRUPT,
            f"topic {name} has {count} partitions, but {', '.join(missing[:5])} "
            f"{'is' if len(missing) == 1 else 'are'} not here. Name every directory of log.dirs; "
            "a broker of a larger cluster must first hold them all (kafka-reassign-partitions); "
            f"or leave the topic out with --exclude {name}.",
        )
    ids = {one.topic_id for one in partitions.values() if one.topic_id is not None}
    if len(ids) > 1:
        raise StorageError(Kind.CORRUPT, f"the partitions of {name} have different topic ids.")
    topic_id = known.topic_id if known is not None else next(iter(ids), None)
    if topic_id is None:
        notes.append(f"topic {name} has no id (Kafka < 2.8): it gets a new one")
        topic_id = random.randbytes(16)
    configs = INTERNAL.get(name, KEEP_FOR_EVER)
    if metadata is not None:
        configs = _configs(name, metadata.image.topic_configs(name), notes)
    ordered = [partitions[index] for index in range(count)]
    return TopicSource(name, topic_id, ordered, dict(configs))


def _configs(name: str, found: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    """The overrides that mean something here; a note for each that does not."""
    kept: dict[str, str] = {}
    broker = load({})
    for key, value in found.items():
        try:
            topic_config(broker, {**kept, key: value})
        except ConfigError as error:
            notes.append(f"topic {name}: {key}={value} is left out ({error})")
        else:
            kept[key] = value
    return kept


# Carrying over


def _carry_all(
    files: Files,
    survey: Survey,
    target: str,
    transfer: Transfer,
    progress: Callable[[int, int], None],
) -> dict[str, Imported]:
    """Every partition; all topics with transactions are named in one refusal."""
    imported: dict[str, Imported] = {}
    refused: Counter[str] = Counter()
    for topic in survey.topics:
        interval_bytes = topic_config(load({}), topic.configs).index_interval_bytes
        for one in topic.partitions:
            if refused[topic.name]:
                break
            path = f"{target}/{one.name}"
            try:
                imported[one.name] = import_partition(
                    files, one, path, topic.topic_id, transfer, interval_bytes, progress
                )
            except Transactional:
                refused[topic.name] += 1
    if refused:
        names = sorted(refused)
        raise StorageError(
            Kind.FORMAT,
            f"{', '.join(names)} hold{'s' if len(names) == 1 else ''} transactions, which are not "
            "served yet: records of aborted ones would look committed. Leave out what may be left "
            f"out: {' '.join(f'--exclude {name}' for name in names)}.",
        )
    return imported


def _finish(
    files: Files,
    survey: Survey,
    imported: Mapping[str, Imported],
    target: str,
    now_ms: int,
    random: Random,
) -> None:
    """Identity, mark, metadata log, clean stop. Raises StorageError, OSError."""
    partitions = set(imported)
    create_identity(
        files, target, survey.node_id, random, cluster_id=survey.cluster_id, beside=partitions
    )
    config = load({"log.dir": target, "node.id": str(survey.node_id)})
    directory = LogDirectory.open(files, config, now_ms=now_ms, program="logserver import")
    try:
        log = directory.open_log(
            METADATA_DIRECTORY, METADATA_CONFIG, topic_id=METADATA_TOPIC_ID, now_ms=now_ms
        )
        for name, one in imported.items():
            directory.mark.note(name, one.mark)
        files.sync_file_system(target)
        metadata_log = MetadataLog(log, Image())
        metadata_log.ensure_features(now_ms)
        metadata_log.append(_records(survey, imported), now_ms)
        directory.close(clean=True)
    finally:
        directory.close()


def _records(survey: Survey, imported: Mapping[str, Imported]) -> list[ChangeRecord]:
    """All topics in one change: they are there together, or not at all."""
    records: list[ChangeRecord] = []
    for topic in survey.topics:
        named = {"name": topic.name, "topic_id": topic.topic_id}
        records.append(("TopicRecord", 0, named))
        resource = {"resource_type": TOPIC_RESOURCE, "resource_name": topic.name}
        for key, value in topic.configs.items():
            records.append(("ConfigRecord", 0, {**resource, "name": key, "value": value}))
        records += [
            partition_record(topic.topic_id, one.partition, survey.node_id)
            for one in topic.partitions
        ]
    used_ids = [one.producer_id_max + 1 for one in imported.values()]
    next_id = -(-max(survey.next_producer_id, *used_ids, 0) // PRODUCER_IDS_COUNT)
    fields = {"broker_id": survey.node_id, "next_producer_id": next_id * PRODUCER_IDS_COUNT}
    records.append(("ProducerIdsRecord", 0, fields))
    return records
