// A short session of Apache Kafka's Java clients, run from source by tools/vector_clients.py with
// the kafka-clients jar of any release on the class path: java -cp 'DIR/*' VectorClient.java HOST:PORT TOPIC

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class VectorClient {
    public static void main(String[] arguments) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", arguments[0]);
        String topic = arguments[1];
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = Admin.create(config)) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
            admin.describeTopics(List.of(topic)).allTopicNames().get();
            admin.describeCluster().nodes().get();
            try (var producer =
                    new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
                producer.send(new ProducerRecord<>(topic, 0, "key", "value")).get();
            }
            try (var consumer =
                    new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                consumer.poll(Duration.ofSeconds(3));
                consumer.poll(Duration.ofSeconds(1));
            }
            admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all().get();
            admin.deleteTopics(List.of(topic)).all().get();
        }
        Properties version = new Properties();
        version.load(Admin.class.getResourceAsStream("/kafka/kafka-version.properties"));
        System.out.println(version.getProperty("version"));
    }
}
