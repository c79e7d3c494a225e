// franz-go: an idempotent producer with every codec, groups of both protocols, administration.
package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"logserver/conformance/checks"
)

const (
	partitions = 4
	records    = 200
)

func main() {
	checks.Main(
		checks.Check{Name: "produce", Run: produce},
		checks.Check{Name: "group-classic", Run: func(ctx context.Context, server string) error {
			return group(ctx, server)
		}},
		checks.Check{Name: "group-consumer", Run: func(ctx context.Context, server string) error {
			next := context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true)
			return group(ctx, server, kgo.WithContext(next))
		}},
		checks.Check{Name: "admin", Run: administer},
	)
}

func connect(server string, more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(server)}, more...)...)
}

// fill makes a topic and sends numbered records to it.
func fill(ctx context.Context, server, topic string, more ...kgo.Opt) error {
	client, err := connect(server, more...)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return err
	}
	batch := make([]*kgo.Record, records)
	for i := range batch {
		text := []byte(fmt.Sprint(i))
		headers := []kgo.RecordHeader{{Key: "number", Value: text}}
		batch[i] = &kgo.Record{Topic: topic, Key: text, Value: text, Headers: headers}
	}
	return client.ProduceSync(ctx, batch...).FirstErr()
}

// poll reads until this many different values were seen.
func poll(ctx context.Context, client *kgo.Client, count int) error {
	seen := map[string]bool{}
	for len(seen) < count {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%d of %d records: %w", len(seen), count, err)
		}
		if failed := fetches.Errors(); len(failed) > 0 {
			return failed[0].Err
		}
		fetches.EachRecord(func(record *kgo.Record) { seen[string(record.Value)] = true })
	}
	return nil
}

func produce(ctx context.Context, server string) error {
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(),
		kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for _, codec := range codecs {
		topic := checks.Topic("franz-produce")
		if err := fill(ctx, server, topic, kgo.ProducerBatchCompression(codec)); err != nil {
			return err
		}
		reader, err := connect(server, kgo.ConsumeTopics(topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			return err
		}
		err = poll(ctx, reader, records)
		reader.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// group: one member reads all and commits; a second one with the same name finds nothing to do.
func group(ctx context.Context, server string, more ...kgo.Opt) error {
	topic := checks.Topic("franz-group")
	if err := fill(ctx, server, topic); err != nil {
		return err
	}
	options := append([]kgo.Opt{
		kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, more...)
	member, err := connect(server, options...)
	if err != nil {
		return err
	}
	err = checks.First(poll(ctx, member, records), member.CommitUncommittedOffsets(ctx))
	if err == nil {
		err = described(ctx, kadm.NewClient(member), topic)
	}
	member.Close()
	if err != nil {
		return err
	}
	client, err := connect(server)
	if err != nil {
		return err
	}
	defer client.Close()
	committed, err := kadm.NewClient(client).FetchOffsets(ctx, topic)
	if err != nil {
		return err
	}
	sum := int64(0)
	committed.Each(func(one kadm.OffsetResponse) { sum += one.At })
	return checks.First(committed.Error(), checks.Equal("committed", sum, int64(records)))
}

func described(ctx context.Context, admin *kadm.Client, name string) error {
	groups, err := admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	return checks.Equal("state of the group", groups[name].State, "Stable")
}

func administer(ctx context.Context, server string) error {
	topic := checks.Topic("franz-admin")
	if err := fill(ctx, server, topic); err != nil {
		return err
	}
	client, err := connect(server)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	return checks.First(
		configured(ctx, admin, topic), truncated(ctx, admin, topic), removed(ctx, admin, topic))
}

func configured(ctx context.Context, admin *kadm.Client, topic string) error {
	value := "86400000"
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}
	if _, err := admin.AlterTopicConfigs(ctx, change, topic); err != nil {
		return err
	}
	all, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	one, err := all.On(topic, nil)
	if err != nil {
		return err
	}
	for _, config := range one.Configs {
		if config.Key == "retention.ms" {
			return checks.Equal("retention.ms", config.MaybeValue(), value)
		}
	}
	return fmt.Errorf("retention.ms is not among %d settings", len(one.Configs))
}

func truncated(ctx context.Context, admin *kadm.Client, topic string) error {
	before, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	if _, err := admin.DeleteRecords(ctx, before.Offsets()); err != nil {
		return err
	}
	after, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	var start, end int64
	before.Each(func(one kadm.ListedOffset) { end += one.Offset })
	after.Each(func(one kadm.ListedOffset) { start += one.Offset })
	return checks.First(
		checks.Equal("end offsets", end, int64(records)), checks.Equal("start offsets", start, end))
}

func removed(ctx context.Context, admin *kadm.Client, topic string) error {
	if _, err := admin.CreatePartitions(ctx, 2, topic); err != nil {
		return err
	}
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	if err := checks.Equal("partitions", len(topics[topic].Partitions), partitions+2); err != nil {
		return err
	}
	_, err = admin.DeleteTopic(ctx, topic)
	return err
}
