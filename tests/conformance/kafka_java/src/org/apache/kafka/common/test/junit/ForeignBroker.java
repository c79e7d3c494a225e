package org.apache.kafka.common.test.junit;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.function.Supplier;
import kafka.server.KafkaBroker;
import kafka.server.KafkaConfig;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.apache.kafka.coordinator.group.GroupCoordinator;

/**
 * What a test may learn from a broker object without looking inside: how many there are, what they
 * were configured with, where they listen. Everything else is a foreign server's own business.
 */
final class ForeignBroker {
    private ForeignBroker() { }

    /** A broker that knows its id, its port and the properties the test gave it. */
    static KafkaBroker of(int id, int port, ClusterConfig cluster) {
        KafkaConfig config = new KafkaConfig(properties(id, cluster), false);
        return answering(KafkaBroker.class, Map.of(
            "config", () -> config,
            "boundPort", () -> port,
            "isShutdown", () -> false,
            "groupCoordinator", ForeignBroker::coordinator));
    }

    private static GroupCoordinator coordinator() {
        Properties topic = new Properties();
        topic.put("cleanup.policy", "compact");
        topic.put("compression.type", "producer");
        topic.put("segment.bytes", String.valueOf(100 * 1024 * 1024));
        return answering(GroupCoordinator.class, Map.of("groupMetadataTopicConfigs", () -> topic));
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

    private static <T> T answering(Class<T> type, Map<String, Supplier<Object>> answers) {
        InvocationHandler handler = (self, method, arguments) -> switch (method.getName()) {
            case "toString" -> "foreign " + type.getSimpleName();
            case "hashCode" -> System.identityHashCode(self);
            case "equals" -> self == arguments[0];
            default -> answers.getOrDefault(method.getName(), () -> {
                throw new UnsupportedOperationException("looks into " + method);
            }).get();
        };
        Class<?>[] types = {type};
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), types, handler));
    }
}
