// sarama: a sync producer with every codec, a consumer group, the cluster admin.
package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/IBM/sarama"
	"logserver/conformance/checks"
)

const (
	partitions = 3
	records    = 90
)

func main() {
	checks.Main(
		checks.Check{Name: "produce", Run: produce},
		checks.Check{Name: "group", Run: group},
		checks.Check{Name: "admin", Run: administer},
	)
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}

func create(server, topic string) error {
	admin, err := sarama.NewClusterAdmin([]string{server}, settings())
	if err != nil {
		return err
	}
	defer admin.Close()
	detail := sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}
	return admin.CreateTopic(topic, &detail, false)
}

func fill(server, topic string, config *sarama.Config) error {
	producer, err := sarama.NewSyncProducer([]string{server}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	batch := make([]*sarama.ProducerMessage, records)
	for i := range batch {
		text := sarama.StringEncoder(fmt.Sprint(i))
		batch[i] = &sarama.ProducerMessage{Topic: topic, Key: text, Value: text}
	}
	return producer.SendMessages(batch)
}

func produce(_ context.Context, server string) error {
	codecs := []sarama.CompressionCodec{
		sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy,
		sarama.CompressionLZ4, sarama.CompressionZSTD,
	}
	for _, codec := range codecs {
		config := settings()
		config.Producer.Compression = codec
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
		topic := checks.Topic("sarama-produce")
		err := checks.First(create(server, topic), fill(server, topic, config), readAll(server, topic))
		if err != nil {
			return fmt.Errorf("%v: %w", codec, err)
		}
	}
	return nil
}

func readAll(server, topic string) error {
	consumer, err := sarama.NewConsumer([]string{server}, settings())
	if err != nil {
		return err
	}
	defer consumer.Close()
	seen := map[string]bool{}
	for number := int32(0); number < partitions; number++ {
		partition, err := consumer.ConsumePartition(topic, number, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		for int64(partition.HighWaterMarkOffset()) == 0 || len(seen) < records {
			message := <-partition.Messages()
			seen[string(message.Value)] = true
			if message.Offset+1 == partition.HighWaterMarkOffset() {
				break
			}
		}
		if err := partition.Close(); err != nil {
			return err
		}
	}
	return checks.Equal("records read", len(seen), records)
}

// counter is a group member that stops when it has seen everything.
type counter struct {
	mutex sync.Mutex
	seen  map[string]bool
	stop  context.CancelFunc
}

func (*counter) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*counter) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *counter) ConsumeClaim(
	session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim,
) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			session.MarkMessage(message, "")
			c.mutex.Lock()
			c.seen[string(message.Value)] = true
			if len(c.seen) == records {
				c.stop()
			}
			c.mutex.Unlock()
		case <-session.Context().Done():
			return nil
		}
	}
}

func group(ctx context.Context, server string) error {
	topic := checks.Topic("sarama-group")
	if err := checks.First(create(server, topic), fill(server, topic, settings())); err != nil {
		return err
	}
	member, err := sarama.NewConsumerGroup([]string{server}, topic, settings())
	if err != nil {
		return err
	}
	until, stop := context.WithCancel(ctx)
	defer stop()
	handler := &counter{seen: map[string]bool{}, stop: stop}
	err = member.Consume(until, []string{topic}, handler)
	if closed := member.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err := checks.Equal("records read", len(handler.seen), records); err != nil {
		return err
	}
	return committed(server, topic)
}

func committed(server, topic string) error {
	admin, err := sarama.NewClusterAdmin([]string{server}, settings())
	if err != nil {
		return err
	}
	defer admin.Close()
	offsets, err := admin.ListConsumerGroupOffsets(topic, nil)
	if err != nil {
		return err
	}
	var sum int64
	for _, block := range offsets.Blocks[topic] {
		sum += block.Offset
	}
	return checks.First(
		checks.Equal("committed", sum, int64(records)), admin.DeleteConsumerGroup(topic))
}

func administer(_ context.Context, server string) error {
	topic := checks.Topic("sarama-admin")
	if err := checks.First(create(server, topic), fill(server, topic, settings())); err != nil {
		return err
	}
	admin, err := sarama.NewClusterAdmin([]string{server}, settings())
	if err != nil {
		return err
	}
	defer admin.Close()
	value := "86400000"
	entry := sarama.IncrementalAlterConfigsEntry{
		Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value,
	}
	entries := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": entry}
	if err := admin.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false); err != nil {
		return err
	}
	resource := sarama.ConfigResource{
		Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"},
	}
	found, err := admin.DescribeConfig(resource)
	if err != nil {
		return err
	}
	if err := checks.Equal("settings", len(found), 1); err != nil {
		return err
	}
	brokers, controller, err := admin.DescribeCluster()
	if err != nil {
		return err
	}
	return checks.First(
		checks.Equal("retention.ms", found[0].Value, value),
		checks.Equal("brokers", len(brokers), 1),
		checks.Equal("controller", controller, brokers[0].ID()),
		admin.DeleteRecords(topic, map[int32]int64{0: 1}),
		admin.CreatePartitions(topic, partitions+1, nil, false),
		admin.DeleteTopic(topic),
	)
}
