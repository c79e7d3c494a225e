// kafkajs: a producer, a consumer group, the admin client. Prints "PASS name" or "FAIL name: why"
// for each check, against the server that the first argument names.
import assert from "node:assert/strict";
import { CompressionTypes, Kafka, logLevel } from "kafkajs";

const LIMIT_MS = 60_000;
const RECORDS = 100;
const PARTITIONS = 3;

const kafka = new Kafka({
  clientId: "conformance",
  brokers: [process.argv[2]],
  logLevel: logLevel.NOTHING,
});
const admin = kafka.admin();

let names = 0;
const fresh = (about) => `kafkajs-${about}-${Date.now()}-${names++}`;

async function fill(topic, options = {}) {
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }] });
  const producer = kafka.producer({ idempotent: options.idempotent ?? false });
  await producer.connect();
  const messages = Array.from({ length: RECORDS }, (_, i) => ({
    key: `${i}`,
    value: `${i}`,
    headers: { number: `${i}` },
  }));
  await producer.send({ topic, messages, acks: -1, compression: options.compression });
  await producer.disconnect();
}

// Reads everything in a group and commits; resolves with the values.
async function readInGroup(topic, groupId) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const seen = new Set();
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer.run({
      eachMessage: async ({ message }) => {
        seen.add(message.value.toString());
        if (seen.size === RECORDS) resolve();
      },
    }).catch(reject);
  });
  await consumer.disconnect();
  return seen;
}

async function produce() {
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    const topic = fresh("produce");
    await fill(topic, { compression, idempotent: true });
    const ends = await admin.fetchTopicOffsets(topic);
    assert.equal(ends.reduce((sum, one) => sum + Number(one.high), 0), RECORDS);
  }
}

async function group() {
  const topic = fresh("group");
  await fill(topic);
  assert.equal((await readInGroup(topic, topic)).size, RECORDS);
  const [committed] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
  const total = committed.partitions.reduce((sum, one) => sum + Number(one.offset), 0);
  assert.equal(total, RECORDS);
  const { groups } = await admin.listGroups();
  assert.ok(groups.some((one) => one.groupId === topic), "the group is listed");
  const { groups: [described] } = await admin.describeGroups([topic]);
  assert.equal(described.state, "Empty");
  await admin.resetOffsets({ groupId: topic, topic, earliest: true });
  assert.equal((await readInGroup(topic, topic)).size, RECORDS);
  await admin.deleteGroups([topic]);
}

async function administer() {
  const topic = fresh("admin");
  await fill(topic);
  const configEntries = [{ name: "retention.ms", value: "86400000" }];
  await admin.alterConfigs({ resources: [{ type: 2, name: topic, configEntries }] });
  const { resources: [resource] } = await admin.describeConfigs({
    includeSynonyms: true,
    resources: [{ type: 2, name: topic, configNames: ["retention.ms"] }],
  });
  assert.equal(resource.configEntries[0].configValue, "86400000");
  await admin.createPartitions({ topicPartitions: [{ topic, count: PARTITIONS + 1 }] });
  const { topics: [metadata] } = await admin.fetchTopicMetadata({ topics: [topic] });
  assert.equal(metadata.partitions.length, PARTITIONS + 1);
  const partitions = [{ partition: 0, offset: "1" }];
  await admin.deleteTopicRecords({ topic, partitions });
  const cluster = await admin.describeCluster();
  assert.equal(cluster.brokers.length, 1);
  assert.equal(cluster.controller, cluster.brokers[0].nodeId);
  await admin.deleteTopics({ topics: [topic] });
}

const late = () => new Promise((_, reject) => {
  setTimeout(() => reject(new Error(`not done after ${LIMIT_MS} ms`)), LIMIT_MS).unref();
});

let failed = false;
await admin.connect();
for (const [name, check] of Object.entries({ produce, group, admin: administer })) {
  try {
    await Promise.race([check(), late()]);
    console.log(`PASS ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL ${name}: ${String(error.message).split("\n")[0]}`);
  }
}
await admin.disconnect();
process.exit(failed ? 1 : 0);
