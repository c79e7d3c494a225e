package org.apache.kafka.common.test.junit;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kafka.server.ControllerServer;
import kafka.server.KafkaBroker;
import kafka.server.KafkaConfig;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.consumer.GroupProtocol;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.test.ClusterInstance;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.apache.kafka.common.test.api.Type;
import org.apache.kafka.server.fault.FaultHandlerException;

/**
 * A cluster that is a process: started for one test, killed after it.
 *
 * <p>CONFORMANCE_SERVER is its command, split at blanks; {@code {dir}} in it becomes a fresh
 * directory and each server property of the test is appended as {@code -c key=value}. The command
 * prints one line {@code ready ... kafka=HOST:PORT[,HOST:PORT] ...} once it serves. What it says on
 * standard error is kept in the folder CONFORMANCE_LOGS when the test failed.
 *
 * <p>Its broker objects know what can be known from outside, see {@link ForeignBroker}.
 */
final class ForeignCluster implements ClusterInstance {
    private static final long WAIT_MS = 15_000;
    private static final long STEP_MS = 25;
    private static final Set<String> KNOWN_KEYS = KafkaConfig.configDef().names();

    private final ClusterConfig config;
    private final boolean combined;
    private Process process;
    private Path directory;
    private String addresses;
    private Map<Integer, KafkaBroker> brokers;
    private boolean stopped;

    ForeignCluster(ClusterConfig config, boolean combined) {
        this.config = config;
        this.combined = combined;
    }

    @Override
    public synchronized void start() {
        if (process != null) {
            return;
        }
        if (config.brokerSecurityProtocol() != SecurityProtocol.PLAINTEXT) {
            throw new UnsupportedOperationException("needs " + config.brokerSecurityProtocol());
        }
        try {
            directory = Files.createTempDirectory("conformance");
            process = new ProcessBuilder(command())
                .redirectError(directory.resolve("stderr").toFile())
                .start();
            Process mine = process;
            Runtime.getRuntime().addShutdownHook(new Thread(mine::destroyForcibly));
            addresses = readyAddresses();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private List<String> command() {
        List<String> words = Arrays.stream(System.getenv("CONFORMANCE_SERVER").split(" "))
            .map(word -> word.replace("{dir}", directory.toString()))
            .collect(Collectors.toCollection(ArrayList::new));
        // What was meant for one server of several holds for the one there is; a broker's own
        // properties (low ids) win over a controller's (3000 and above).
        Map<String, String> properties = new TreeMap<>(config.serverProperties());
        new TreeMap<>(config.perServerOverrideProperties()).descendingMap().values()
            .forEach(properties::putAll);
        properties.forEach((key, value) -> {
            // Some classes give a server keys of topics, or a sentence of documentation where a
            // key belongs. Kafka overlooks unknown keys; a server may refuse them.
            if (KNOWN_KEYS.contains(key)) {
                words.addAll(List.of("-c", key + "=" + value));
            }
        });
        return words;
    }

    private String readyAddresses() throws IOException {
        BufferedReader output = new BufferedReader(
            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = output.readLine();
        while (line != null && !line.startsWith("ready ")) {
            line = output.readLine();
        }
        if (line == null) {
            throw new IOException("the server did not start\n"
                + Files.readString(directory.resolve("stderr")));
        }
        return Arrays.stream(line.split(" "))
            .filter(word -> word.startsWith("kafka="))
            .map(word -> word.substring("kafka=".length()))
            .findFirst().orElseThrow();
    }

    @Override
    public void stop() {
        stop(null);
    }

    /** Ends the process; keeps its words under the name of a test that failed. */
    synchronized void stop(String failedTest) {
        if (process == null || stopped) {
            return;
        }
        stopped = true;
        try {
            // A reference cluster is a process with children; it ends them when it is asked to.
            process.destroy();
            if (!process.waitFor(200, TimeUnit.MILLISECONDS)) {
                process.destroyForcibly().waitFor();
            }
            String logs = System.getenv("CONFORMANCE_LOGS");
            if (failedTest != null && logs != null) {
                Files.copy(directory.resolve("stderr"), Path.of(logs, failedTest + ".log"),
                    StandardCopyOption.REPLACE_EXISTING);
            }
            try (Stream<Path> files = Files.walk(directory)) {
                files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public boolean started() {
        return process != null;
    }

    @Override
    public boolean stopped() {
        return stopped;
    }

    @Override
    public Type type() {
        return combined ? Type.CO_KRAFT : Type.KRAFT;
    }

    @Override
    public ClusterConfig config() {
        return config;
    }

    @Override
    public String bootstrapServers() {
        return addresses;
    }

    @Override
    public String bootstrapControllers() {
        return addresses;
    }

    @Override
    public List<Integer> brokerBoundPorts() {
        return Arrays.stream(addresses.split(","))
            .map(address -> Integer.valueOf(address.substring(address.lastIndexOf(':') + 1)))
            .toList();
    }

    @Override
    public List<Integer> controllerBoundPorts() {
        return brokerBoundPorts();
    }

    @Override
    public Set<Integer> brokerIds() {
        return described(cluster -> cluster.nodes().get().stream()
            .map(Node::id).collect(Collectors.toCollection(TreeSet::new)));
    }

    @Override
    public Set<Integer> controllerIds() {
        return described(cluster -> Set.of(cluster.controller().get().id()));
    }

    @Override
    public String clusterId() {
        return described(cluster -> cluster.clusterId().get());
    }

    private interface Question<T> {
        T ask(DescribeClusterResult cluster) throws ExecutionException, InterruptedException;
    }

    private <T> T described(Question<T> question) {
        try (Admin admin = admin()) {
            return question.ask(admin.describeCluster());
        } catch (ExecutionException | InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public ListenerName clientListener() {
        return config.brokerListenerName();
    }

    @Override
    public ListenerName controllerListenerName() {
        return config.controllerListenerName();
    }

    @Override
    public synchronized Map<Integer, KafkaBroker> brokers() {
        if (brokers == null) {
            brokers = described(cluster -> cluster.nodes().get().stream().collect(Collectors.toMap(
                Node::id, node -> ForeignBroker.of(node.id(), node.port(), this))));
        }
        return brokers;
    }

    @Override
    public Set<GroupProtocol> supportedGroupProtocols() {
        return Set.of(GroupProtocol.CLASSIC, GroupProtocol.CONSUMER);
    }

    @Override
    public Map<Integer, ControllerServer> controllers() {
        return Map.of();
    }

    @Override
    public Optional<FaultHandlerException> firstFatalException() {
        return Optional.empty();
    }

    @Override
    public Optional<FaultHandlerException> firstNonFatalException() {
        return Optional.empty();
    }

    @Override
    public void shutdownBroker(int id) {
        throw new UnsupportedOperationException("one broker of a foreign cluster cannot be stopped");
    }

    @Override
    public void startBroker(int id) {
        throw new UnsupportedOperationException("one broker of a foreign cluster cannot be started");
    }

    @Override
    public void waitForReadyBrokers() {
        // start() returns when the server serves.
    }

    @Override
    public void waitTopicCreation(String topic, int partitionCount) throws InterruptedException {
        await("topic " + topic + " with " + partitionCount + " partitions", admin -> {
            var description = admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic);
            return description.partitions().size() == partitionCount;
        });
    }

    @Override
    public void waitTopicDeletion(String topic) throws InterruptedException {
        await("topic " + topic + " gone", admin -> !admin.listTopics().names().get().contains(topic));
    }

    private interface Condition {
        boolean holds(Admin admin) throws ExecutionException, InterruptedException;
    }

    private void await(String what, Condition condition) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(WAIT_MS);
        Throwable last = null;
        try (Admin admin = admin()) {
            while (System.nanoTime() < deadline) {
                try {
                    if (condition.holds(admin)) {
                        return;
                    }
                } catch (ExecutionException error) {
                    last = error.getCause();
                }
                Thread.sleep(STEP_MS);
            }
        }
        throw new AssertionError("waited in vain for " + what, last);
    }

    @Override
    public void ensureConsistentMetadata() {
        // One process has one image.
    }

    @Override
    public void ensureConsistentMetadata(
        Collection<KafkaBroker> brokers, Collection<ControllerServer> controllers) {
        // One process has one image.
    }
}
