import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.test.KafkaClusterTestKit;
import org.apache.kafka.common.test.TestKitNodes;
import org.apache.kafka.metadata.bootstrap.BootstrapMetadata;
import org.apache.kafka.server.common.Feature;
import org.apache.kafka.server.common.MetadataVersion;

/**
 * Apache Kafka behind the same door as our server: one broker (or CONFORMANCE_BROKERS) and a
 * controller in one process.
 *
 * <p>Takes {@code -c key=value} for the servers' properties, prints {@code ready kafka=...} and
 * serves until it is killed. What fails against this, with no broker object at hand, says nothing
 * about us.
 */
public final class ReferenceCluster {
    private static final List<String> FACTORS = List.of(
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "share.coordinator.state.topic.replication.factor");

    public static void main(String[] words) throws Exception {
        int brokers =
            Integer.parseInt(System.getenv().getOrDefault("CONFORMANCE_BROKERS", "1"));
        // As the release's own tool formats it; the test kit would take what is not released.
        MetadataVersion version = MetadataVersion.latestProduction();
        Map<String, Short> levels = new HashMap<>();
        for (Feature feature : Feature.PRODUCTION_FEATURES) {
            levels.put(feature.featureName(), feature.defaultLevel(version));
        }
        BootstrapMetadata format = BootstrapMetadata.fromVersions(version, levels, "reference");
        TestKitNodes nodes = new TestKitNodes.Builder(format)
            .setNumBrokerNodes(brokers)
            .setNumControllerNodes(1)
            .build();
        KafkaClusterTestKit.Builder builder = new KafkaClusterTestKit.Builder(nodes);
        for (int i = 0; i + 1 < words.length; i += 2) {
            String[] property = words[i + 1].split("=", 2);
            builder.setConfigProp(property[0], property[1]);
        }
        // What the tests ask for three brokers, no matter how many there are.
        for (String topic : FACTORS) {
            builder.setConfigProp(topic, String.valueOf(brokers));
        }
        try (KafkaClusterTestKit kafka = builder.build()) {
            kafka.format();
            kafka.startup();
            kafka.waitForReadyBrokers();
            System.out.println("ready kafka=" + kafka.bootstrapServers());
            new CountDownLatch(1).await();
        }
    }
}
