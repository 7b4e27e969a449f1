// Our client against the model's own server: nuxt-actions' defineStreamAction, unchanged, on the h3 that it stands on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createApp, toNodeListener } from "../node/node_modules/h3/dist/index.mjs";
import { createActionError } from "../node/node_modules/nuxt-actions/dist/runtime/server/utils/defineAction.js";
import { defineStreamAction } from "../node/node_modules/nuxt-actions/dist/runtime/server/utils/defineStreamAction.js";
import { closed, recorded, serving, sleep } from "./helpers.mjs";

const serveAction = (t, options) => serving(t, toNodeListener(createApp().use(defineStreamAction(options))));

test("chunks, null among them, and done", async (t) => {
  const url = await serveAction(t, {
    handler: async ({ input, stream }) => {
      for (const text of input.words) await stream.send({ text });
      await stream.send(null);
      await stream.close();
    },
  });
  const client = recorded(url);
  await client.execute({ words: ["a", "ä\n😀"] });
  const chunks = [{ text: "a" }, { text: "ä\n😀" }, null];
  assert.deepEqual(client.getSnapshot(), { status: "done", chunks, data: null, error: null });
  assert.deepEqual(client.called, [...chunks.map((chunk) => ["chunk", chunk]), ["done", chunks]]);
});

test("the query of a GET", async (t) => {
  const url = await serveAction(t, { handler: ({ input, stream }) => stream.send(input).then(stream.close) });
  const client = recorded(url, { method: "GET" });
  await client.execute({ page: 2, filter: { a: [1] }, none: null });
  assert.deepEqual(client.chunks, [{ page: "2", filter: '{"a":[1]}', none: "" }]);
});

test("an error that is raised on purpose, with the model's extra member, and one that is not", async (t) => {
  const error = { code: "NOT_FOUND", message: "No such thing", statusCode: 404 };
  for (const [thrown, told] of [
    [createActionError(error), error],
    [new Error("secret"), { code: "STREAM_ERROR", message: "Stream handler error", statusCode: 500 }],
  ]) {
    const url = await serveAction(t, {
      handler: async ({ stream }) => {
        await stream.send(1);
        throw thrown;
      },
    });
    const client = recorded(url);
    await client.execute();
    assert.deepEqual(client.getSnapshot(), { status: "error", chunks: [1], data: 1, error: told });
  }
});

test("stop is seen by its server", async (t) => {
  let left;
  const url = await serveAction(t, {
    handler: async ({ event, stream }) => {
      left = closed(event.node.res);
      for (let tick = 0; !event.node.res.destroyed; tick++) {
        await stream.send(tick);
        await sleep(5);
      }
    },
  });
  const client = recorded(url, { onChunk: (tick) => tick === 3 && client.stop() });
  await client.execute();
  await left;
  assert.deepEqual(client.chunks, [0, 1, 2, 3]);
});

test("where it says nothing at all, as of invalid input, the timeout helps", async (t) => {
  const validate = () => ({ issues: [{ message: "Required", path: ["a"] }] });
  const url = await serveAction(t, { input: { "~standard": { validate } }, handler: () => assert.fail("it ran") });
  const client = recorded(url, { timeout: 200 });
  await client.execute({});
  assert.equal(client.error.code, "TIMEOUT_ERROR");
});
