// kafka-go: a writer with every codec, a reader in a group, the low-level client as administrator.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
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

func create(server, topic string) error {
	connection, err := kafka.Dial("tcp", server)
	if err != nil {
		return err
	}
	defer connection.Close()
	err = connection.CreateTopics(
		kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1})
	// A cluster may know of a topic a moment after it said that it made it.
	for tries := 0; err == nil && tries < 100; tries++ {
		if found, _ := connection.ReadPartitions(topic); len(found) == partitions {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func fill(ctx context.Context, server, topic string, codec kafka.Compression) error {
	writer := &kafka.Writer{
		Addr: kafka.TCP(server), Topic: topic, Compression: codec, Balancer: &kafka.Hash{},
		RequiredAcks: kafka.RequireAll, BatchTimeout: 10 * time.Millisecond,
		// Not the shared one: it would remember that the topic was not there.
		Transport: &kafka.Transport{},
	}
	defer writer.Close()
	batch := make([]kafka.Message, records)
	for i := range batch {
		text := []byte(fmt.Sprint(i))
		batch[i] = kafka.Message{Key: text, Value: text}
	}
	return writer.WriteMessages(ctx, batch...)
}

func produce(ctx context.Context, server string) error {
	codecs := []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd}
	for _, codec := range codecs {
		topic := checks.Topic("kafka-go-produce")
		err := checks.First(
			create(server, topic), fill(ctx, server, topic, codec), readAll(ctx, server, topic))
		if err != nil {
			return fmt.Errorf("%v: %w", codec, err)
		}
	}
	return nil
}

func readAll(ctx context.Context, server, topic string) error {
	count := 0
	for number := 0; number < partitions; number++ {
		connection, err := kafka.DialLeader(ctx, "tcp", server, topic, number)
		if err != nil {
			return err
		}
		last, err := connection.ReadLastOffset()
		connection.Close()
		if err != nil {
			return err
		}
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{server}, Topic: topic, Partition: number, MaxWait: time.Second,
		})
		for offset := int64(0); offset < last; offset++ {
			if _, err := reader.ReadMessage(ctx); err != nil {
				return err
			}
			count++
		}
		reader.Close()
	}
	return checks.Equal("records read", count, records)
}

func group(ctx context.Context, server string) error {
	topic := checks.Topic("kafka-go-group")
	if err := checks.First(create(server, topic), fill(ctx, server, topic, 0)); err != nil {
		return err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{server}, GroupID: topic, Topic: topic, StartOffset: kafka.FirstOffset,
		MaxWait: time.Second,
	})
	seen := map[string]bool{}
	for len(seen) < records {
		message, err := reader.FetchMessage(ctx)
		if err != nil {
			reader.Close()
			return fmt.Errorf("%d of %d records: %w", len(seen), records, err)
		}
		seen[string(message.Value)] = true
		if err := reader.CommitMessages(ctx, message); err != nil {
			reader.Close()
			return err
		}
	}
	if err := reader.Close(); err != nil {
		return err
	}
	return committed(ctx, server, topic)
}

func committed(ctx context.Context, server, topic string) error {
	client := &kafka.Client{Addr: kafka.TCP(server)}
	numbers := make([]int, partitions)
	for i := range numbers {
		numbers[i] = i
	}
	answer, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{
		GroupID: topic, Topics: map[string][]int{topic: numbers},
	})
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, partition := range answer.Topics[topic] {
		sum += partition.CommittedOffset
	}
	return checks.First(answer.Error, checks.Equal("committed", sum, int64(records)))
}

func administer(ctx context.Context, server string) error {
	topic := checks.Topic("kafka-go-admin")
	if err := create(server, topic); err != nil {
		return err
	}
	client := &kafka.Client{Addr: kafka.TCP(server)}
	change := kafka.IncrementalAlterConfigsRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "retention.ms", Value: "86400000", ConfigOperation: kafka.ConfigOperationSet},
		},
	}
	altered, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{change},
	})
	if err != nil {
		return err
	}
	if err := altered.Resources[0].Error; err != nil {
		return err
	}
	asked := kafka.DescribeConfigRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		ConfigNames: []string{"retention.ms"},
	}
	told, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{asked},
	})
	if err != nil {
		return err
	}
	value := told.Resources[0].ConfigEntries[0].ConfigValue
	if err := checks.Equal("retention.ms", value, "86400000"); err != nil {
		return err
	}
	removed, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return removed.Errors[topic]
}
