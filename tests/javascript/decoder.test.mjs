// Bytes to events: the same vectors as Python's decoder, and the same bounds.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { EventDecoder } from "../../trio_streamact/browser/streamact.js";
import { cuts, vectors } from "./helpers.mjs";

const bytesOf = (text) => Buffer.from(text);
const feedAll = (decoder, parts) => parts.flatMap((part) => [...decoder.feed(part)]);
const event = (data) => ({ type: "message", data, id: "" });

for (const { name, bytes, events, retry_ms = null } of vectors("event-streams")) {
  test(`wherever it is cut: ${name}`, () => {
    for (const parts of [[bytes], ...cuts(bytes), Array.from(bytes, (byte) => [[], [byte], []].map((part) => Uint8Array.from(part))).flat()]) {
      const decoder = new EventDecoder();
      assert.deepEqual(feedAll(decoder, parts), events);
      assert.equal(decoder.retryMs, retry_ms);
    }
  });
}

test("an event is given with the byte that ends it", () => {
  for (const end of ["\n\n", "\r\n\r", "\r\r", "\n\r"]) {
    const decoder = new EventDecoder();
    const bytes = bytesOf(`data: x${end}`);
    for (const byte of bytes.subarray(0, -1)) assert.deepEqual([...decoder.feed([byte])], []);
    assert.deepEqual([...decoder.feed(bytes.subarray(-1))], [event("x")]);
    assert.deepEqual([...decoder.feed(bytesOf("\ndata: y\n\n"))], [event("y")]);
  }
});

test("the same decoder reads part after part of a stream whose lines end in every way", () => {
  const decoder = new EventDecoder();
  const parts = ["data: 1\r", "\n\r", "\n", "data: 2\r", "\r", "data: 3\n", "\n", "\r", "data: 4", "\r\n", "\r\n"];
  assert.deepEqual(feedAll(decoder, parts.map(bytesOf)), ["1", "2", "3", "4"].map(event));
});

const LIMIT = 20;

test("an event up to the limit is read, and a larger one refused, wherever it is cut", () => {
  const largest = [
    "data: 78901234567890",
    "data: 78\ndata: 789012",
    "data\ndata\ndata\ndata\ndata",
    "data: 789012\nevent: 0",
    "data: 7890\n: 34567890",
    ": 345678901234567890",
    "id: 5678901234567890",
    "\ufeffdata: 78901234567890",
    "data: x\n\ndata: 78901234567890",
  ];
  for (const text of largest) {
    const expected = feedAll(new EventDecoder(), [bytesOf(`${text}\n\n`)]);
    for (const parts of cuts(bytesOf(`${text}\n\n`))) assert.deepEqual(feedAll(new EventDecoder(LIMIT), parts), expected);
    for (const parts of cuts(bytesOf(`${text}!\n\n`))) {
      assert.throws(() => feedAll(new EventDecoder(LIMIT), parts), RangeError);
    }
  }
});

test("what never ends is refused at the limit", () => {
  for (const part of ["x".repeat(1000), "data: x\n", "data\r\n", "data:\r", ": comment".repeat(20)].map(bytesOf)) {
    const decoder = new EventDecoder(10_000);
    let fed = 0;
    assert.throws(() => {
      for (; fed < 1_000_000; fed += part.length) assert.deepEqual([...decoder.feed(part)], []);
    }, RangeError);
    assert(fed <= 20_000);
  }
});

test("any number of events passes a limit that each of them keeps", () => {
  const parts = [bytesOf("data: x\nid: 5\n\n:\n\n".repeat(10_000))];
  assert.equal(feedAll(new EventDecoder(LIMIT), parts).length, 10_000);
});

test("events before a larger one are given first, and none behind it", () => {
  const decoder = new EventDecoder(LIMIT);
  const given = [];
  assert.throws(() => {
    for (const { data } of decoder.feed(bytesOf(`data: a\n\ndata: b\n\ndata: ${"x".repeat(LIMIT)}\n\ndata: c\n\n`))) given.push(data);
  }, RangeError);
  assert.deepEqual(given, ["a", "b"]);
  for (const part of ["\n\n", "data: x\n\n", ""]) assert.throws(() => [...decoder.feed(bytesOf(part))], RangeError);
});

test("an event that is too large gives nothing of itself, though a blank line follows", () => {
  for (const larger of ["data: a\ndata: 8901234567", "data: a\ndata: 8901234567\n"]) {
    const decoder = new EventDecoder(LIMIT);
    assert.throws(() => [...decoder.feed(bytesOf(larger))], RangeError);
    assert.throws(() => {
      for (const given of decoder.feed(bytesOf("\n\n"))) assert.fail(given.data);
    }, RangeError);
  }
});

test("the default limit is 2 MiB", () => {
  const fitting = bytesOf(`data: ${"x".repeat(2 * 1024 * 1024 - 6)}\n\n`);
  assert.equal([...new EventDecoder().feed(fitting)].length, 1);
  assert.throws(() => [...new EventDecoder().feed(Buffer.concat([bytesOf("data: x"), fitting.subarray(6)]))], RangeError);
});

/** The shortest of some runs, in milliseconds: what else the machine did meanwhile only ever adds to it. */
function shortest(work) {
  let ms = Infinity;
  for (let count = 0; count < 3; count++) {
    const start = performance.now();
    work();
    ms = Math.min(ms, performance.now() - start);
  }
  return ms;
}

// Ten times as much takes ten times as long, and would take a hundred times if the cost were quadratic.
const AT_MOST = 40;

test("a long line in tiny parts takes time in proportion to its length", () => {
  const tiny = bytesOf("x");
  const read = (count) => () => {
    const decoder = new EventDecoder();
    for (let index = 0; index < count; index++) for (const _ of decoder.feed(tiny)) assert.fail();
  };
  assert(shortest(read(1_000_000)) < AT_MOST * shortest(read(100_000)));
});

test("an event of many lines takes time in proportion to their number", () => {
  const read = (count) => () => assert.equal(feedAll(new EventDecoder(), [bytesOf("data:\n".repeat(count) + "\n")]).length, 1);
  assert(shortest(read(300_000)) < AT_MOST * shortest(read(30_000)));
});

test("small events in one part take time in proportion to their number", () => {
  const read = (count) => {
    const bytes = bytesOf('data: {"text":"hello"}\n\n'.repeat(count));
    return () => {
      let events = 0;
      for (const _ of new EventDecoder().feed(bytes)) events++;
      assert.equal(events, count);
    };
  };
  assert(shortest(read(300_000)) < AT_MOST * shortest(read(30_000)));
});

test("a long line in tiny parts takes memory in proportion to its length", () => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc");
  const used = () => {
    gc();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const decoder = new EventDecoder();
  const before = used();
  for (let index = 0; index < 1_000_000; index++) for (const _ of decoder.feed(Uint8Array.of(120))) assert.fail();
  const taken = used() - before;
  assert(taken < 8_000_000, `${taken} bytes for a line of a million`);
  assert.equal([...decoder.feed(bytesOf("\n\ndata: still there\n\n"))].length, 1);
});
