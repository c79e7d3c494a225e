package org.apache.kafka.common.test.junit;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import kafka.server.KafkaBroker;
import kafka.server.KafkaConfig;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.test.ClusterInstance;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.apache.kafka.coordinator.group.GroupCoordinator;
import org.apache.kafka.metadata.LeaderAndIsr;
import org.apache.kafka.metadata.MetadataCache;

/**
 * What a test may learn from a broker object without looking inside: how many there are, what they
 * were configured with, where they listen, what topics there are. Everything else is a foreign server's own business.
 */
final class ForeignBroker {
    private ForeignBroker() { }

    /** A broker that knows its id, its port and the properties the test gave it. */
    static KafkaBroker of(int id, int port, ClusterInstance cluster) {
        KafkaConfig config = new KafkaConfig(properties(id, cluster.config()), false);
        return answering(KafkaBroker.class, Map.of(
            "config", nothing -> config,
            "boundPort", listener -> port,
            "isShutdown", nothing -> false,
            "groupCoordinator", nothing -> coordinator(),
            "metadataCache", nothing -> metadata(cluster)));
    }

    private static GroupCoordinator coordinator() {
        Properties topic = new Properties();
        topic.put("cleanup.policy", "compact");
        topic.put("compression.type", "producer");
        topic.put("segment.bytes", String.valueOf(100 * 1024 * 1024));
        Answer settings = nothing -> topic;
        return answering(GroupCoordinator.class, Map.of("groupMetadataTopicConfigs", settings));
    }

    /** What the metadata of a topic say: the server is asked each time. */
    private static MetadataCache metadata(ClusterInstance cluster) {
        return answering(MetadataCache.class, Map.of(
            "contains", of -> (of[0] instanceof TopicPartition partition
                ? partition(cluster, partition.topic(), partition.partition())
                : topic(cluster, (String) of[0])).isPresent(),
            "getTopicId", of -> topic(cluster, (String) of[0])
                .map(TopicDescription::topicId).orElse(Uuid.ZERO_UUID),
            "numPartitions", of -> topic(cluster, (String) of[0]).map(one -> one.partitions().size()),
            "getLeaderAndIsr", of -> partition(cluster, (String) of[0], (int) of[1])));
    }

    private static Optional<TopicDescription> topic(ClusterInstance cluster, String name) {
        try (Admin admin = cluster.admin()) {
            return Optional.of(admin.describeTopics(Set.of(name)).allTopicNames().get().get(name));
        } catch (ExecutionException | InterruptedException unknown) {
            return Optional.empty();
        }
    }

    private static Optional<LeaderAndIsr> partition(ClusterInstance cluster, String name, int index) {
        return topic(cluster, name)
            .filter(topic -> index < topic.partitions().size())
            .map(topic -> topic.partitions().get(index))
            .filter(one -> one.leader() != null)
            .map(one -> new LeaderAndIsr(one.leader().id(), one.isr().stream().map(Node::id).toList()));
    }

    private static Map<String, String> properties(int id, ClusterConfig cluster) {
        String listener = cluster.brokerListenerName().value();
        String controller = cluster.controllerListenerName().value();
        Map<String, String> properties = new HashMap<>(cluster.serverProperties());
        properties.put("process.roles", "broker");
        properties.put("node.id", String.valueOf(id));
        properties.put("listeners", listener + "://127.0.0.1:0");
        properties.put("inter.broker.listener.name", listener);
        properties.put("controller.listener.names", controller);
        properties.put("controller.quorum.bootstrap.servers", "127.0.0.1:1");
        properties.put("listener.security.protocol.map",
            listener + ":PLAINTEXT," + controller + ":PLAINTEXT");
        return properties;
    }

    private interface Answer {
        Object to(Object[] arguments);
    }

    private static <T> T answering(Class<T> type, Map<String, Answer> answers) {
        InvocationHandler handler = (self, method, arguments) -> switch (method.getName()) {
            case "toString" -> "foreign " + type.getSimpleName();
            case "hashCode" -> System.identityHashCode(self);
            case "equals" -> self == arguments[0];
            default -> answers.getOrDefault(method.getName(), nothing -> {
                throw new UnsupportedOperationException("looks into " + method);
            }).to(arguments);
        };
        Class<?>[] types = {type};
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), types, handler));
    }
}
