import java.io.BufferedReader;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A consumer group in one process: as many members as asked for, each with a thread of its own.
 *
 * <p>Arguments: bootstrap, topic, partition count, group, group protocol, member count, file for
 * latencies. It prints "assigned" when every partition has an owner and every member a partition.
 * On its input it then takes one line "start-ns interval-ns warm-count" (message n of the schedule
 * is offset n / partitions of partition n % partitions, due at start + n * interval; an interval of
 * 0 measures no latencies) and one line with the number of records to come. When all were seen,
 * each offset once and in order, it prints "done last-record-ns records bytes" and ends. Times are
 * of the monotonic clock, which the load generator reads as well.
 */
public final class GroupMembers {
    private static volatile long startNs, intervalNs, warmCount;
    private static volatile boolean measuring;
    private static volatile String wrong = "";
    private static final AtomicLong records = new AtomicLong();
    private static final AtomicLong bytes = new AtomicLong();
    private static final AtomicLong lastNs = new AtomicLong();
    private static final Map<String, Integer> owned = new ConcurrentHashMap<>();
    private static final Map<TopicPartition, Long> expected = new ConcurrentHashMap<>();

    /** One member: polls until it is woken. */
    private static final class Member extends Thread implements ConsumerRebalanceListener {
        final KafkaConsumer<byte[], byte[]> consumer;
        final List<Long> latencies = new ArrayList<>();
        final int partitionCount;

        Member(int number, Map<String, Object> settings, String topic, int partitionCount) {
            super("member-" + number);
            this.partitionCount = partitionCount;
            consumer = new KafkaConsumer<>(settings);
            consumer.subscribe(List.of(topic), this);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> ignored) {
            owned.put(getName(), consumer.assignment().size());
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> ignored) {
            owned.put(getName(), 0);
        }

        @Override
        public void run() {
            try {
                while (true) {
                    take(consumer.poll(Duration.ofMillis(200)));
                }
            } catch (WakeupException expectedAtTheEnd) {
                // asked to end
            } catch (RuntimeException error) {
                wrong = error.toString();
            } finally {
                consumer.close();
            }
        }

        private void take(ConsumerRecords<byte[], byte[]> found) {
            long now = System.nanoTime();
            long size = 0;
            for (ConsumerRecord<byte[], byte[]> record : found) {
                TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                long next = expected.getOrDefault(partition, 0L);
                if (record.offset() != next) {
                    wrong = partition + ": offset " + next + " expected, " + record.offset() + " came";
                }
                expected.put(partition, record.offset() + 1);
                size += record.value().length;
                if (measuring) {
                    long number = record.offset() * partitionCount + record.partition();
                    if (number >= warmCount) {
                        latencies.add(now - startNs - number * intervalNs);
                    }
                }
            }
            if (!found.isEmpty()) {
                lastNs.accumulateAndGet(now, Math::max);
                bytes.addAndGet(size);
                records.addAndGet(found.count());
            }
        }
    }

    public static void main(String[] words) throws Exception {
        int partitionCount = Integer.parseInt(words[2]);
        int memberCount = Integer.parseInt(words[5]);
        List<Member> members = new ArrayList<>();
        for (int number = 0; number < memberCount; number++) {
            Map<String, Object> settings = Map.of(
                    "bootstrap.servers", words[0],
                    "group.id", words[3],
                    "group.protocol", words[4],
                    "client.id", "member-" + number,
                    "auto.offset.reset", "earliest",
                    "key.deserializer", ByteArrayDeserializer.class,
                    "value.deserializer", ByteArrayDeserializer.class);
            members.add(new Member(number, settings, words[1], partitionCount));
        }
        members.forEach(Thread::start);
        while (owned.size() < memberCount
                || owned.values().stream().anyMatch(count -> count == 0)
                || owned.values().stream().mapToInt(count -> count).sum() != partitionCount) {
            check();
            Thread.sleep(5);
        }
        System.out.println("assigned");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        String[] schedule = input.readLine().split(" ");
        startNs = Long.parseLong(schedule[0]);
        intervalNs = Long.parseLong(schedule[1]);
        warmCount = Long.parseLong(schedule[2]);
        measuring = intervalNs > 0;
        long total = Long.parseLong(input.readLine());
        while (records.get() < total) {
            check();
            Thread.sleep(1);
        }
        members.forEach(member -> member.consumer.wakeup());
        for (Member member : members) {
            member.join();
        }
        check();
        write(words[6], members);
        System.out.println("done " + lastNs + " " + records + " " + bytes);
        input.readLine(); // until its CPU time was read
    }

    private static void check() {
        if (!wrong.isEmpty()) {
            System.out.println("wrong: " + wrong);
            System.exit(1);
        }
    }

    private static void write(String path, List<Member> members) throws Exception {
        int count = members.stream().mapToInt(member -> member.latencies.size()).sum();
        ByteBuffer out = ByteBuffer.allocate(count * Long.BYTES);
        for (Member member : members) {
            member.latencies.forEach(out::putLong);
        }
        try (DataOutputStream file = new DataOutputStream(new FileOutputStream(path))) {
            file.write(out.array());
        }
    }
}
