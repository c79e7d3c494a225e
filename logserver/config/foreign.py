"""Kafka's broker keys that mean nothing on this server.

They are accepted with a warning, so that a server.properties written for Kafka can be tried
unchanged; a name that is neither here nor in the key table is a typing error and is refused.
The list is what Apache Kafka 4.3.1 defines (AbstractKafkaConfig.CONFIG_DEF), keys that it calls
internal included because its own tests set them, less the keys served.
"""

from logserver.config.key import TYPE_CODES, Key

# Settings of one listener, of plug-ins for tiered storage, of metrics and configuration providers.
FOREIGN_PREFIXES = ("listener.name.", "rsm.config.", "rlmm.config.", "config.providers.")

_NAMES = """
    add.partitions.to.txn.retry.backoff.max.ms add.partitions.to.txn.retry.backoff.ms
    alter.config.policy.class.name alter.log.dirs.replication.quota.window.num
    alter.log.dirs.replication.quota.window.size.seconds auto.leader.rebalance.enable
    background.threads broker.heartbeat.interval.ms broker.session.timeout.ms
    client.quota.callback.class config.providers connection.failed.authentication.delay.ms
    connections.max.reauth.ms controlled.shutdown.enable controller.listener.names
    controller.performance.always.log.threshold.ms controller.performance.sample.period.ms
    controller.quorum.append.linger.ms controller.quorum.auto.join.enable
    controller.quorum.bootstrap.servers controller.quorum.election.backoff.max.ms
    controller.quorum.election.timeout.ms controller.quorum.fetch.max.bytes
    controller.quorum.fetch.snapshot.max.bytes controller.quorum.fetch.timeout.ms
    controller.quorum.request.timeout.ms controller.quorum.retry.backoff.ms
    controller.quorum.voters controller.quota.window.num controller.quota.window.size.seconds
    controller.socket.timeout.ms cordoned.log.dirs create.topic.policy.class.name
    delegation.token.expiry.check.interval.ms delegation.token.expiry.time.ms
    delegation.token.max.lifetime.ms delegation.token.secret.key
    delete.records.purgatory.purge.interval.requests early.start.listeners
    fetch.purgatory.purge.interval.requests follower.fetch.last.tiered.offset.enable
    group.coordinator.append.linger.ms group.coordinator.background.threads
    group.coordinator.cached.buffer.max.bytes group.coordinator.threads group.share.assignors
    group.share.initialize.retry.interval.ms group.share.max.share.sessions
    group.share.max.size group.share.persister.class.name group.streams.max.size
    initial.broker.registration.timeout.ms inter.broker.listener.name
    internal.metadata.delete.delay.millis internal.metadata.log.segment.bytes
    internal.metadata.max.batch.size.in.bytes kafka.metrics.polling.interval.secs
    kafka.metrics.reporters leader.imbalance.check.interval.seconds log.cleaner.io.buffer.size
    log.cleaner.threads log.flush.offset.checkpoint.interval.ms log.flush.scheduler.interval.ms
    log.flush.start.offset.checkpoint.interval.ms log.initial.task.delay.ms
    max.connection.creation.rate max.connections.per.ip.overrides metadata.log.dir
    metadata.log.max.record.bytes.between.snapshots metadata.log.max.snapshot.interval.ms
    metadata.log.segment.bytes metadata.log.segment.ms metadata.max.idle.interval.ms
    metadata.max.retention.bytes metadata.max.retention.ms metric.reporters metrics.num.samples
    metrics.recording.level metrics.sample.window.ms num.io.threads num.network.threads
    num.recovery.threads.per.data.dir num.replica.alter.log.dirs.threads num.replica.fetchers
    offsets.commit.timeout.ms offsets.load.buffer.size offsets.topic.compression.codec
    principal.builder.class producer.id.expiration.check.interval.ms
    producer.purgatory.purge.interval.requests quota.window.num quota.window.size.seconds
    remote.fetch.max.wait.ms remote.list.offsets.request.timeout.ms
    remote.log.index.file.cache.total.size.bytes remote.log.index.file.cache.ttl.ms
    remote.log.manager.copier.thread.pool.size remote.log.manager.copy.max.bytes.per.second
    remote.log.manager.copy.quota.window.num remote.log.manager.copy.quota.window.size.seconds
    remote.log.manager.expiration.thread.pool.size remote.log.manager.fetch.max.bytes.per.second
    remote.log.manager.fetch.quota.window.num remote.log.manager.fetch.quota.window.size.seconds
    remote.log.manager.follower.thread.pool.size remote.log.manager.task.interval.ms
    remote.log.manager.task.retry.backoff.max.ms remote.log.manager.task.retry.backoff.ms
    remote.log.manager.task.retry.jitter remote.log.manager.thread.pool.size
    remote.log.metadata.custom.metadata.max.bytes remote.log.metadata.manager.class.name
    remote.log.metadata.manager.class.path remote.log.metadata.manager.impl.prefix
    remote.log.metadata.manager.listener.name remote.log.reader.max.pending.tasks
    remote.log.reader.threads remote.log.storage.manager.class.name
    remote.log.storage.manager.class.path remote.log.storage.manager.impl.prefix
    remote.log.storage.system.enable replica.fetch.backoff.ms replica.fetch.max.bytes
    replica.fetch.min.bytes replica.fetch.response.max.bytes replica.fetch.wait.max.ms
    replica.high.watermark.checkpoint.interval.ms replica.lag.time.max.ms replica.selector.class
    replica.socket.receive.buffer.bytes replica.socket.timeout.ms replication.quota.window.num
    replication.quota.window.size.seconds sasl.client.callback.handler.class
    sasl.enabled.mechanisms sasl.jaas.config sasl.kerberos.kinit.cmd
    sasl.kerberos.min.time.before.relogin sasl.kerberos.principal.to.local.rules
    sasl.kerberos.service.name sasl.kerberos.ticket.renew.jitter
    sasl.kerberos.ticket.renew.window.factor sasl.login.callback.handler.class sasl.login.class
    sasl.login.connect.timeout.ms sasl.login.read.timeout.ms sasl.login.refresh.buffer.seconds
    sasl.login.refresh.min.period.seconds sasl.login.refresh.window.factor
    sasl.login.refresh.window.jitter sasl.login.retry.backoff.max.ms sasl.login.retry.backoff.ms
    sasl.mechanism.controller.protocol sasl.mechanism.inter.broker.protocol
    sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud
    sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss
    sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds
    sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file
    sasl.oauthbearer.assertion.private.key.file
    sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.template.file
    sasl.oauthbearer.client.credentials.client.id
    sasl.oauthbearer.client.credentials.client.secret sasl.oauthbearer.clock.skew.seconds
    sasl.oauthbearer.expected.audience sasl.oauthbearer.expected.issuer
    sasl.oauthbearer.jwks.endpoint.refresh.ms
    sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms
    sasl.oauthbearer.jwks.endpoint.retry.backoff.ms sasl.oauthbearer.jwks.endpoint.url
    sasl.oauthbearer.jwt.retriever.class sasl.oauthbearer.jwt.validator.class
    sasl.oauthbearer.scope sasl.oauthbearer.scope.claim.name sasl.oauthbearer.sub.claim.name
    sasl.oauthbearer.token.endpoint.url sasl.server.callback.handler.class
    sasl.server.max.receive.size security.inter.broker.protocol security.providers
    server.max.startup.time.ms share.coordinator.append.linger.ms
    share.coordinator.cached.buffer.max.bytes
    share.coordinator.cold.partition.snapshot.interval.ms share.coordinator.load.buffer.size
    share.coordinator.snapshot.update.records.per.snapshot
    share.coordinator.state.topic.compression.codec share.coordinator.state.topic.min.isr
    share.coordinator.state.topic.num.partitions share.coordinator.state.topic.prune.interval.ms
    share.coordinator.state.topic.replication.factor share.coordinator.state.topic.segment.bytes
    share.coordinator.threads share.coordinator.write.timeout.ms
    share.fetch.purgatory.purge.interval.requests socket.connection.setup.timeout.max.ms
    socket.connection.setup.timeout.ms ssl.allow.dn.changes ssl.allow.san.changes
    ssl.cipher.suites ssl.client.auth ssl.enabled.protocols
    ssl.endpoint.identification.algorithm ssl.engine.factory.class ssl.key.password
    ssl.keymanager.algorithm ssl.keystore.certificate.chain ssl.keystore.key
    ssl.keystore.location ssl.keystore.password ssl.keystore.type ssl.principal.mapping.rules
    ssl.protocol ssl.provider ssl.secure.random.implementation ssl.trustmanager.algorithm
    ssl.truststore.certificates ssl.truststore.location ssl.truststore.password
    ssl.truststore.type transaction.abort.timed.out.transaction.cleanup.interval.ms
    transaction.max.timeout.ms transaction.partition.verification.enable
    transaction.remove.expired.transaction.cleanup.interval.ms
    transaction.state.log.load.buffer.size transaction.state.log.min.isr
    transaction.state.log.num.partitions transaction.state.log.replication.factor
    transaction.state.log.segment.bytes transaction.two.phase.commit.enable
    transactional.id.expiration.ms unclean.leader.election.interval.ms
    unstable.api.versions.enable unstable.feature.versions.enable
"""

FOREIGN_KEYS = frozenset(_NAMES.split())

# What Kafka lets tools alter while it runs (DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS), less the keys
# served: kept and shown as they were set, with no effect. kafka-reassign-partitions sets the
# throttled rates around every move. Secrets are not kept.
_DYNAMIC = """
    int     background.threads max.connections num.io.threads num.network.threads
            num.recovery.threads.per.data.dir num.replica.fetchers max.connection.creation.rate
            remote.fetch.max.wait.ms remote.log.reader.threads
            remote.log.manager.copier.thread.pool.size
            remote.log.manager.expiration.thread.pool.size
            remote.log.manager.follower.thread.pool.size group.coordinator.cached.buffer.max.bytes
            share.coordinator.cached.buffer.max.bytes log.cleaner.io.buffer.size log.cleaner.threads
    long    leader.replication.throttled.rate follower.replication.throttled.rate
            replica.alter.log.dirs.io.max.bytes.per.second remote.list.offsets.request.timeout.ms
            remote.log.index.file.cache.total.size.bytes
            remote.log.manager.copy.max.bytes.per.second
            remote.log.manager.fetch.max.bytes.per.second
            sasl.kerberos.min.time.before.relogin
    short   sasl.login.refresh.buffer.seconds sasl.login.refresh.min.period.seconds
    double  sasl.kerberos.ticket.renew.jitter sasl.kerberos.ticket.renew.window.factor
            sasl.login.refresh.window.factor sasl.login.refresh.window.jitter
    boolean follower.fetch.last.tiered.offset.enable transaction.partition.verification.enable
    string  max.connections.per.ip.overrides principal.builder.class sasl.kerberos.kinit.cmd
            sasl.kerberos.service.name sasl.mechanism.inter.broker.protocol ssl.client.auth
            ssl.endpoint.identification.algorithm ssl.engine.factory.class ssl.keymanager.algorithm
            ssl.keystore.location ssl.keystore.type ssl.protocol ssl.provider
            ssl.secure.random.implementation ssl.trustmanager.algorithm ssl.truststore.location
            ssl.truststore.type
    list    config.providers cordoned.log.dirs metric.reporters sasl.enabled.mechanisms
            sasl.kerberos.principal.to.local.rules ssl.cipher.suites ssl.enabled.protocols
    password sasl.jaas.config ssl.key.password ssl.keystore.certificate.chain ssl.keystore.key
            ssl.keystore.password ssl.truststore.certificates ssl.truststore.password
"""


def _dynamic_keys() -> dict[str, Key]:
    rows: dict[str, Key] = {}
    kind = ""
    for word in _DYNAMIC.split():
        if word in TYPE_CODES:
            kind = word
        else:
            doc = "Kept for tools; it changes nothing here."
            rows[word] = Key(word, kind, None, "", doc, dynamic=True)
    return rows


_DYNAMIC_KEYS: dict[str, Key] = _dynamic_keys()

# Only with the prefix of a listener (DynamicBrokerConfig.DYNAMIC_SECURITY_CONFIGS).
_STORES = ("ssl.key.password", "ssl.keystore.", "ssl.truststore.")
# Not for all brokers of a cluster at once (DynamicBrokerConfig.PER_BROKER_CONFIGS).
_OF_ONE_BROKER = ("cordoned.log.dirs", "principal.builder.class", "sasl.", "ssl.")

LISTENER_PREFIX = "listener.name."


def dynamic_foreign_key(name: str) -> Key | None:
    """The row of a dynamic key that means nothing here, alone or with a listener's prefix.

    `listener.name.internal.ssl.keystore.type` is the key `ssl.keystore.type` of one listener; the
    keys of SASL have a mechanism in between. None: Kafka has no such dynamic key.
    """
    if not name.startswith(LISTENER_PREFIX):
        return _DYNAMIC_KEYS.get(name)
    words = name.removeprefix(LISTENER_PREFIX).split(".")
    for first in range(1, len(words)):
        key = _DYNAMIC_KEYS.get(".".join(words[first:]))
        if key is not None:
            return key._replace(name=name)
    return None


def needs_listener(name: str) -> bool:
    """Whether the dynamic key can be set for a listener only."""
    return name.startswith(_STORES)


def needs_broker(name: str) -> bool:
    """Whether the dynamic key can be set for one broker only."""
    key = name
    if name.startswith(LISTENER_PREFIX):
        key = name.removeprefix(LISTENER_PREFIX).partition(".")[2]
    return key.startswith(_OF_ONE_BROKER)
