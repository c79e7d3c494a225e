package org.apache.kafka.common.test.junit;

import java.util.List;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.Extension;
import org.junit.jupiter.api.extension.TestTemplateInvocationContext;

/**
 * Stands first on the class path, in the place of the class of this name that would start Kafka
 * inside the test's process: each test gets a fresh server process of ours instead.
 */
public class RaftClusterInvocationContext implements TestTemplateInvocationContext {
    private final String name;
    private final ClusterConfig config;
    private final boolean combined;

    public RaftClusterInvocationContext(String name, ClusterConfig config, boolean combined) {
        this.name = name;
        this.config = config;
        this.combined = combined;
    }

    @Override
    public String getDisplayName(int index) {
        return name + " [" + index + "] " + String.join(",", config.displayTags());
    }

    @Override
    public List<Extension> getAdditionalExtensions() {
        ForeignCluster cluster = new ForeignCluster(config, combined);
        BeforeEachCallback start = context -> {
            if (config.isAutoStart()) {
                cluster.start();
            }
        };
        // After each, not after the execution: that one is left out when a @BeforeEach failed.
        AfterEachCallback stop = context -> {
            String test = context.getRequiredTestClass().getSimpleName()
                + "." + context.getRequiredTestMethod().getName();
            cluster.stop(context.getExecutionException().isPresent() ? test : null);
        };
        return List.of(start, stop, new ClusterInstanceParameterResolver(cluster));
    }
}
