// A session of Apache Kafka's Java clients with groups of both protocols and everything that the
// admin client asks about groups, tokens, transactions and the cluster; run from source by
// tools/vector_groups.py: java -cp 'DIR/*' VectorGroups.java HOST:PORT TOPIC

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterPartitionReassignmentsOptions;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class VectorGroups {
    interface Call {
        Object run() throws Exception;
    }

    /** One question; what it is answered with does not matter here, a refusal neither. */
    static void ask(Call call) {
        try {
            call.run();
        } catch (Exception refused) {
            System.err.println(refused.getMessage());
        }
    }

    static void read(Map<String, Object> config, String topic, String group, String protocol) {
        Properties properties = new Properties();
        properties.putAll(config);
        properties.put("group.id", group);
        properties.put("group.protocol", protocol);
        properties.put("auto.offset.reset", "earliest");
        try (var consumer =
                new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            if (protocol.equals("consumer")) {
                consumer.subscribe(new SubscriptionPattern(topic + ".*"));
            } else {
                consumer.subscribe(List.of(topic));
            }
            for (int count = 0; count == 0; ) {
                count = consumer.poll(Duration.ofSeconds(1)).count();
            }
            consumer.commitSync();
            for (int turn = 0; turn < 5; turn++) {
                consumer.poll(Duration.ofSeconds(1));
            }
        }
    }

    static void askAboutGroups(Admin admin, TopicPartition partition, List<String> groups) {
        ask(() -> admin.listGroups().all().get());
        ask(() -> admin.listGroups(ListGroupsOptions.forConsumerGroups()).all().get());
        for (String group : groups) {
            ask(() -> admin.describeConsumerGroups(List.of(group)).all().get());
            ask(() -> admin.describeClassicGroups(List.of(group)).all().get());
            ask(() -> admin.listConsumerGroupOffsets(group).all().get());
            var offset = Map.of(partition, new OffsetAndMetadata(1, Optional.of(0), "by hand"));
            ask(() -> admin.alterConsumerGroupOffsets(group, offset).all().get());
            ask(() -> admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get());
            var members = List.of(new MemberToRemove("instance"));
            var removal = new RemoveMembersFromConsumerGroupOptions(members);
            ask(() -> admin.removeMembersFromConsumerGroup(group, removal).all().get());
        }
        ask(() -> admin.deleteConsumerGroups(groups).all().get());
        ask(() -> admin.describeConsumerGroups(List.of("nobody")).all().get());
    }

    static void askAboutTheCluster(Admin admin, TopicPartition partition) {
        ask(() -> admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).all().get());
        var moves = Map.of(partition, Optional.of(new NewPartitionReassignment(List.of(1))));
        var options = new AlterPartitionReassignmentsOptions();
        ask(() -> admin.alterPartitionReassignments(moves, options).all().get());
        ask(() -> admin.listPartitionReassignments(Set.of(partition)).reassignments().get());
        ask(() -> admin.describeMetadataQuorum().quorumInfo().get());
        ask(() -> admin.describeFeatures().featureMetadata().get());
        var up = new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE);
        var dry = new UpdateFeaturesOptions().validateOnly(true);
        ask(() -> admin.updateFeatures(Map.of("group.version", up), dry).all().get());
        ask(() -> admin.listConfigResources().all().get());
        ask(() -> admin.listTransactions().all().get());
        ask(() -> admin.describeTransactions(List.of("nobody")).all().get());
        var replica = new TopicPartitionReplica(partition.topic(), partition.partition(), 1);
        ask(() -> admin.alterReplicaLogDirs(Map.of(replica, "/nowhere")).all().get());
    }

    static void askAboutSecurity(Admin admin) {
        var pattern = new ResourcePattern(ResourceType.TOPIC, "t", PatternType.LITERAL);
        var entry =
                new AccessControlEntry("User:a", "*", AclOperation.READ, AclPermissionType.ALLOW);
        ask(() -> admin.describeAcls(AclBindingFilter.ANY).values().get());
        ask(() -> admin.createAcls(List.of(new AclBinding(pattern, entry))).all().get());
        ask(() -> admin.deleteAcls(List.of(AclBindingFilter.ANY)).all().get());
        ask(() -> admin.createDelegationToken().delegationToken().get());
        ask(() -> admin.describeDelegationToken().delegationTokens().get());
        ask(() -> admin.renewDelegationToken(new byte[] {1}).expiryTimestamp().get());
        ask(() -> admin.expireDelegationToken(new byte[] {1}).expiryTimestamp().get());
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", arguments[0]);
        String topic = arguments[1];
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Admin.create(config)) {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
            try (var producer =
                    new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                producer.send(new ProducerRecord<>(topic, 0, "key", "value")).get();
            }
            List<String> groups = List.of(topic + "-classic", topic + "-consumer");
            read(config, topic, groups.get(0), "classic");
            read(config, topic, groups.get(1), "consumer");
            askAboutGroups(admin, partition, groups);
            askAboutTheCluster(admin, partition);
            askAboutSecurity(admin);
            admin.deleteTopics(List.of(topic)).all().get();
        }
        Properties version = new Properties();
        version.load(Admin.class.getResourceAsStream("/kafka/kafka-version.properties"));
        System.out.println(version.getProperty("version"));
    }
}
