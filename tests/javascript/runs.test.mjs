// What a client holds after a response of given bytes, however they were cut: the same vectors as for Python's client.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answering, cuts, recorded, vectors } from "./helpers.mjs";

/** A response of *parts*, one a read: a network would join them as it pleases. */
function responseOf(parts) {
  const body = new ReadableStream({
    pull: (controller) => (parts.length ? controller.enqueue(parts.shift()) : controller.close()),
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

function expectedCalls({ chunks, status, error }) {
  return [...chunks.map((chunk) => ["chunk", chunk]), status === "done" ? ["done", chunks] : ["error", error.code]];
}

for (const vector of vectors("runs")) {
  test(`wherever it is cut: ${vector.name}`, async (t) => {
    let response;
    t.mock.method(globalThis, "fetch", async () => response);
    for (const parts of cuts(vector.bytes)) {
      response = responseOf(parts.filter((part) => part.length));
      const client = recorded("/action", { maxEventBytes: vector.max_event_bytes });
      await client.execute();
      const { chunks, status, data, error } = client.getSnapshot();
      const { message, ...rest } = error ?? {};
      assert.deepEqual({ chunks, status }, { chunks: vector.chunks, status: vector.status });
      assert.deepEqual(data, vector.chunks.at(-1) ?? null);
      if (vector.error?.message === undefined) {
        assert.deepEqual(error && rest, vector.error);
        assert(!error || message);
      } else assert.deepEqual(error, vector.error);
      assert.deepEqual(client.called, expectedCalls(vector));
    }
  });
}

for (const { name, text, error } of vectors("responses")) {
  test(`a response: ${name}`, async (t) => {
    const client = recorded(await answering(t, Buffer.from(text, "latin1")));
    await client.execute();
    assert.deepEqual([client.status, client.error], [error ? "error" : "done", error]);
  });
}
