// The life of a run: how it goes on, how it ends, and that nothing is heard of it afterwards. Against real servers.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { createStreamAction } from "../../trio_streamact/browser/streamact.js";
import { DONE, chunk, closed, recorded, serving, sleep, streaming } from "./helpers.mjs";

const MODULE = new URL("../../trio_streamact/browser/streamact.js", import.meta.url).href;
const FOR_EVER = 60_000;

const failedWith = (client) => [client.status, client.error?.code, client.error?.statusCode];

/** Wait until *condition* holds. */
async function until(condition) {
  for (let count = 0; !condition(); count++) {
    assert(count < 5_000, `not within seconds: ${condition}`);
    await sleep(2);
  }
}

// State and callbacks

test("before the first run it is idle", () => {
  const client = createStreamAction("/never-called");
  assert.deepEqual(client.getSnapshot(), { status: "idle", chunks: [], data: null, error: null });
  assert.equal(client.getSnapshot(), client.getSnapshot());
});

test("chunks arrive one by one, as they are sent", async (t) => {
  let goOn;
  const url = await streaming(t, async (response) => {
    for (const word of ["a", "b", "c"]) {
      const read = new Promise((resolve) => (goOn = resolve));
      response.write(chunk(word));
      await read; // a client that waited for more would wait for ever
    }
    response.end(DONE);
  });
  const client = recorded(url, { onChunk: () => goOn() });
  await client.execute();
  assert.deepEqual(client.called, [["chunk", "a"], ["chunk", "b"], ["chunk", "c"], ["done", ["a", "b", "c"]]]);
  assert.deepEqual(client.getSnapshot(), { status: "done", chunks: ["a", "b", "c"], data: "c", error: null });
});

test("each change is a new snapshot, and the chunks of a run are one array", async (t) => {
  const url = await streaming(t, (response) => response.end(chunk(1) + chunk(2) + DONE));
  const client = createStreamAction(url);
  const seen = [client.getSnapshot()];
  client.subscribe(() => seen.push(client.getSnapshot()));
  await client.execute();
  await client.execute();

  assert.deepEqual(seen.map(({ status, data }) => [status, data]), [
    ["idle", null],
    ...[["streaming", null], ["streaming", 1], ["streaming", 2], ["done", 2]],
    ...[["streaming", null], ["streaming", 1], ["streaming", 2], ["done", 2]],
  ]);
  assert.equal(new Set(seen).size, seen.length);
  assert.deepEqual(new Set(seen.map(({ chunks }) => chunks)), new Set([[], [1, 2], [1, 2]]));
  assert.equal(new Set(seen.map(({ chunks }) => chunks)).size, 3);
});

test("the members are those of the snapshot, and the state is there before listeners, and they before callbacks", async (t) => {
  const url = await streaming(t, (response) => response.end(chunk(1) + DONE));
  const order = [];
  const note = (who) => {
    const { status, chunks, data, error } = client;
    assert.deepEqual({ status, chunks, data, error }, client.getSnapshot());
    order.push([who, status, data]);
  };
  const client = createStreamAction(url, { onChunk: () => note("onChunk"), onDone: () => note("onDone") });
  client.subscribe(() => note("listener"));
  await client.execute();
  assert.deepEqual(order, [
    ["listener", "streaming", null],
    ["listener", "streaming", 1],
    ["onChunk", "streaming", 1],
    ["listener", "done", 1],
    ["onDone", "done", 1],
  ]);
});

test("a listener is told until it is unsubscribed, and as often as it is subscribed", async (t) => {
  const url = await streaming(t, (response) => response.end(DONE));
  const client = createStreamAction(url);
  let told = 0;
  const listener = () => void told++;
  const [first, second] = [client.subscribe(listener), client.subscribe(listener)];
  client.subscribe(() => client.status === "done" && second());
  await client.execute();
  assert.equal(told, 4);
  await client.execute();
  assert.equal(told, 6);
  first();
  first();
  await client.execute();
  assert.equal(told, 6);
});

test("what callbacks and listeners throw is reported, and the run goes on", async (t) => {
  const url = await streaming(t, (response) => response.end(chunk(1) + chunk(2) + DONE));
  const reported = t.mock.method(console, "error", () => {});
  const [inChunk, inDone, inListener, later] = ["chunk", "done", "listener", "later"].map((word) => new Error(word));
  const client = recorded(url, {
    onChunk(data) {
      if (data === 1) throw inChunk;
      return Promise.reject(later);
    },
    onDone() {
      throw inDone;
    },
  });
  client.subscribe(() => {
    if (client.status === "done") throw inListener;
  });
  await client.execute();
  await sleep(0);
  assert.deepEqual(client.called, [["chunk", 1], ["chunk", 2], ["done", [1, 2]]]);
  assert.deepEqual([client.status, client.error], ["done", null]);
  assert.deepEqual(new Set(reported.mock.calls.map((call) => call.arguments[0])), new Set([inChunk, later, inListener, inDone]));
});

test("what onError throws does not make execute reject, and is reported where a page reports errors", async (t) => {
  const url = await serving(t, (request, response) => response.writeHead(404).end());
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  t.after(() => delete globalThis.reportError);
  const client = createStreamAction(url, {
    onError() {
      throw new Error("mine");
    },
  });
  await client.execute();
  assert.equal(client.error.code, "HTTP_ERROR");
  assert.deepEqual(reported, ["mine"]);
});

test("options are read when they are needed", async (t) => {
  const seen = [];
  const url = await streaming(t, (response, request) => {
    seen.push([request.method, request.headers["x-run"]]);
    response.end(chunk(1) + DONE);
  });
  const options = { method: "PUT", headers: { "X-Run": "1" }, onChunk: (data) => seen.push(data) };
  const client = createStreamAction(url, options);
  await client.execute();
  Object.assign(options, { method: "POST", headers: { "X-Run": "2" }, onChunk: undefined });
  await client.execute();
  assert.deepEqual(seen, [["PUT", "1"], 1, ["POST", "2"]]);
});

// stop

test("stop in a callback: nothing more of the same read is delivered, and the server sees the client leave", async (t) => {
  let left;
  const url = await streaming(t, (response) => {
    left = closed(response);
    response.write(chunk(1) + chunk(2) + chunk(3) + DONE);
  });
  const client = recorded(url, {
    onChunk() {
      client.stop();
      assert.equal(client.status, "done");
    },
  });
  await client.execute();
  await left;
  assert.deepEqual(client.called, [["chunk", 1]]);
  assert.deepEqual(client.getSnapshot(), { status: "done", chunks: [1], data: 1, error: null });
});

test("stop in a listener: neither the callback of that chunk nor anything else is called, each listener is told once", async (t) => {
  const url = await streaming(t, (response) => void response.write(chunk(1) + chunk(2) + DONE));
  const client = recorded(url);
  const told = [[], []];
  client.subscribe(() => {
    told[0].push(client.status);
    if (client.data === 1) client.stop();
  });
  client.subscribe(() => told[1].push(client.status));
  await client.execute();
  assert.deepEqual(client.called, []);
  assert.deepEqual(told, [["streaming", "streaming", "done"], ["streaming", "done"]]);
});

test("stop while chunks come: at once, and the server sees the client leave", async (t) => {
  let left;
  const url = await streaming(t, async (response) => {
    left = closed(response);
    response.write(chunk(0));
    const timer = setInterval(() => response.write(chunk(1)), 1);
    await left;
    clearInterval(timer);
  });
  const client = recorded(url);
  const run = client.execute();
  await until(() => client.chunks.length > 3);
  client.stop();
  const [state, count] = [client.getSnapshot(), client.called.length];
  assert.equal(state.status, "done");
  await Promise.all([run, left]);
  await sleep(20);
  assert.equal(client.getSnapshot(), state);
  assert.equal(client.called.length, count);
});

test("stop before there is a response", async (t) => {
  const arrived = {};
  const request = new Promise((resolve) => (arrived.resolve = resolve));
  const url = await serving(t, (_, response) => arrived.resolve(response));
  const client = recorded(url, { timeout: FOR_EVER });
  const run = client.execute();
  const left = closed(await request);
  client.stop();
  await Promise.all([run, left]);
  assert.deepEqual([client.status, client.called], ["done", []]);
});

test("stop while the headers are awaited: no request is made, and the run is over", async (t) => {
  const url = await serving(t, () => assert.fail("a request was made"));
  let give;
  const client = recorded(url, { headers: () => new Promise((resolve) => (give = resolve)) });
  const run = client.execute();
  client.stop();
  await run;
  give({});
  await sleep(50);
  assert.deepEqual([client.status, client.called], ["done", []]);
});

test("stop without a run changes nothing", async (t) => {
  const url = await streaming(t, (response) => response.end(chunk(1) + DONE));
  const client = recorded(url);
  client.subscribe(() => assert.notEqual(client.status, "idle"));
  const idle = client.getSnapshot();
  client.stop();
  assert.equal(client.getSnapshot(), idle);
  await client.execute();
  const done = client.getSnapshot();
  client.stop();
  assert.equal(client.getSnapshot(), done);
});

test("stop after an error leaves the error", async (t) => {
  const url = await serving(t, (_, response) => response.writeHead(500).end());
  const client = recorded(url);
  await client.execute();
  client.stop();
  assert.deepEqual(failedWith(client), ["error", "HTTP_ERROR", 500]);
});

// execute, again

test("a second execute ends the first: its promise resolves, the server sees it leave, nothing of it is heard", async (t) => {
  const left = [];
  const url = await streaming(t, (response, request) => {
    const { run } = JSON.parse(request.text);
    if (run === 2) return response.end(chunk("second") + DONE);
    left.push(closed(response));
    return response.write(chunk("first"));
  });
  const client = recorded(url);
  const first = client.execute({ run: 1 });
  await until(() => client.data);
  const ofFirst = client.chunks;
  const second = client.execute({ run: 2 });
  assert.deepEqual(client.getSnapshot(), { status: "streaming", chunks: [], data: null, error: null });
  await first;
  assert.equal(client.status, "streaming");
  await Promise.all([second, ...left]);
  assert.deepEqual(client.called, [["chunk", "first"], ["chunk", "second"], ["done", ["second"]]]);
  assert.deepEqual([ofFirst, client.chunks], [["first"], ["second"]]);
});

test("many executes in a row never mix", async (t) => {
  const url = await streaming(t, async (response, request) => {
    const { run } = JSON.parse(request.text);
    for (let count = 0; count < 5; count++) {
      response.write(chunk(run).repeat(3));
      await sleep(run % 3);
    }
    response.end(DONE);
  });
  const client = createStreamAction(url, {
    onChunk: (run) => assert.equal(run, latest),
    onDone: (chunks) => assert.deepEqual(chunks, Array(15).fill(latest)),
  });
  const reported = t.mock.method(console, "error");
  let latest;
  const runs = [];
  for (let run = 0; run < 60; run++) {
    latest = run;
    runs.push(client.execute({ run }));
    await sleep(run % 7);
  }
  await Promise.all(runs);
  assert.equal(reported.mock.callCount(), 0);
  assert.deepEqual(client.getSnapshot(), { status: "done", chunks: Array(15).fill(59), data: 59, error: null });
});

test("a response that comes after its run is over, though it was aborted, is not read", async (t) => {
  // What a page's service worker may do, which need not heed the signal.
  const answers = [];
  t.mock.method(globalThis, "fetch", () => new Promise((...answer) => answers.push(answer)));
  const headers = { "Content-Type": "text/event-stream" };
  const client = recorded("/action");
  const runs = [];
  for (const count of [1, 2, 3, 4]) {
    runs.push(client.execute());
    await until(() => answers.length === count);
  }
  answers[0][0](new Response(chunk("old") + DONE, { headers }));
  answers[1][0](new Response(null, { status: 500 }));
  answers[2][1](new TypeError("Failed to fetch"));
  await Promise.all(runs.slice(0, 3));
  await sleep(10);
  assert.deepEqual([client.status, client.called], ["streaming", []]);
  answers[3][0](new Response(chunk("new") + DONE, { headers }));
  await runs[3];
  assert.deepEqual(client.called, [["chunk", "new"], ["done", ["new"]]]);
});

test("execute in callbacks begins a new run, of which alone is heard from there on", async (t) => {
  const url = await streaming(t, (response, request) => {
    const { run } = JSON.parse(request.text);
    if (run === 1) return response.end(chunk(1) + chunk("not heard") + DONE);
    if (run === 2) return response.end(chunk(2) + 'data: {"__actions_error":{"code":"A","message":"b","statusCode":400}}\n\n');
    return response.end(chunk(run) + DONE);
  });
  const runs = [];
  const client = recorded(url, {
    onChunk: (run) => run === 1 && runs.push(client.execute({ run: 2 })),
    onError: () => runs.push(client.execute({ run: 3 })),
    onDone: ([run]) => run === 3 && runs.push(client.execute({ run: 4 })),
  });
  await client.execute({ run: 1 });
  while (runs.length) await runs.shift();
  assert.deepEqual(client.called, [
    ["chunk", 1],
    ["chunk", 2],
    ["error", "A"],
    ["chunk", 3],
    ["done", [3]],
    ["chunk", 4],
    ["done", [4]],
  ]);
  assert.deepEqual(client.getSnapshot(), { status: "done", chunks: [4], data: 4, error: null });
});

test("a listener that stops or starts a run when one begins has its way", async (t) => {
  const url = await streaming(t, (response, request) => response.end(chunk(JSON.parse(request.text)) + DONE));
  const client = recorded(url, { timeout: 100 });
  let inner;
  const unsubscribe = client.subscribe(() => {
    unsubscribe();
    inner = client.execute("inner");
  });
  await client.execute("outer");
  await inner;
  assert.deepEqual(client.called, [["chunk", "inner"], ["done", ["inner"]]]);
  client.subscribe(() => client.stop());
  await client.execute("never sent");
  await sleep(150); // its timeout must not have been set
  assert.deepEqual([client.status, client.chunks], ["done", []]);
});

// How runs fail

test("a response that is not 2xx is its own error, and its body is nothing", async (t) => {
  for (const [status, message] of [[404, "HTTP 404"], [500, "HTTP 500"]]) {
    const url = await streaming(t, (response) => response.writeHead(status).end(chunk(1) + DONE));
    const client = recorded(url);
    await client.execute();
    assert.deepEqual(client.error, { code: "HTTP_ERROR", message, statusCode: status });
    assert.deepEqual(client.called, [["error", "HTTP_ERROR"]]);
  }
});

test("a response that is no event stream is an error", async (t) => {
  for (const type of ["text/html; charset=utf-8", "application/json", "text/event-streams", "x/text/event-stream", ""]) {
    const url = await serving(t, (_, response) => response.writeHead(200, { "Content-Type": type }).end(chunk(1) + DONE));
    const client = recorded(url);
    await client.execute();
    assert.deepEqual([...failedWith(client), client.chunks], ["error", "NOT_A_STREAM", 502, []]);
  }
});

test("an event stream may have parameters, and its type any case", async (t) => {
  for (const type of ["text/event-stream", "text/event-stream; charset=utf-8", "text/event-stream ;a=b", "Text/Event-Stream"]) {
    const url = await serving(t, (_, response) => response.writeHead(200, { "Content-Type": type }).end(chunk(1) + DONE));
    const client = recorded(url);
    await client.execute();
    assert.deepEqual([client.status, client.chunks], ["done", [1]]);
  }
});

test("a stream without a body is incomplete", async (t) => {
  const url = await streaming(t, (response) => response.end());
  for (const method of ["HEAD", "GET"]) {
    const client = createStreamAction(url, { method });
    await client.execute();
    assert.deepEqual(failedWith(client), ["error", "STREAM_INCOMPLETE", 502]);
  }
});

test("where nobody listens there is no response", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  const client = recorded(`http://127.0.0.1:${port}`);
  await client.execute();
  assert.deepEqual(failedWith(client), ["error", "NETWORK_ERROR", 503]);
  assert.deepEqual(client.called, [["error", "NETWORK_ERROR"]]);
});

test("what was thrown stands behind the error, where nobody copies it", async () => {
  const client = createStreamAction("/a/path/that/needs/a/page");
  await client.execute();
  assert.equal(client.error.code, "NETWORK_ERROR");
  assert.match(client.error.cause.message, /URL/);
  assert.deepEqual(Object.keys(client.error), ["code", "message", "statusCode"]);
});

test("a server that breaks off before the head has sent no response, one behind it no whole stream", async (t) => {
  const url = await streaming(t, async (response, request) => {
    if (request.url === "/head") return response.destroy();
    await new Promise((written) => response.write(chunk(1) + 'data: {"__actions_done"', written));
    return request.url === "/end" ? response.end() : response.destroy();
  });
  for (const [path, code, status, chunks] of [
    ["/head", "NETWORK_ERROR", 503, []],
    ["/destroyed", "STREAM_INCOMPLETE", 502, [1]],
    ["/end", "STREAM_INCOMPLETE", 502, [1]],
  ]) {
    const client = recorded(url + path);
    await client.execute();
    assert.deepEqual([...failedWith(client), client.chunks], ["error", code, status, chunks]);
    assert.deepEqual(client.called.at(-1), ["error", code]);
  }
});

test("behind every ending that the stream itself makes, the client leaves though the server does not end", async (t) => {
  let left;
  const url = await streaming(t, (response, request) => {
    left = closed(response);
    response.write(chunk(1) + JSON.parse(request.text));
  });
  for (const [ending, code] of [
    [DONE, undefined],
    ["event: done\ndata: {}\n\n", undefined],
    ['event: error\ndata: {"code":"A","message":"b","statusCode":400}\n\n', "A"],
    ["data: nonsense\n\n", "MALFORMED_EVENT"],
    [`data: ${"x".repeat(200)}`, "EVENT_TOO_LARGE"],
  ]) {
    const client = createStreamAction(url, { maxEventBytes: 100 });
    await client.execute(ending);
    assert.deepEqual([client.error?.code, client.chunks], [code, [1]]);
    await left;
  }
});

test("a body that knows nothing of the signal, as a service worker's may, is cancelled too", async (t) => {
  let response;
  t.mock.method(globalThis, "fetch", async () => response);
  for (const [text, isStopped] of [[chunk(1) + DONE, false], [chunk(1), true]]) {
    let cancelled = 0;
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(Buffer.from(text)),
      cancel: () => void cancelled++,
    });
    response = new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    const client = recorded("/action", { onChunk: () => isStopped && client.stop() });
    await client.execute();
    assert.deepEqual([client.status, cancelled], ["done", 1]);
  }
});

test("behind a refusal the client leaves though the server does not end", async (t) => {
  let left;
  const url = await serving(t, (request, response) => {
    left = closed(response);
    response.writeHead(request.url === "/500" ? 500 : 200).write("an endless page");
  });
  for (const path of ["/500", "/page"]) {
    await createStreamAction(url + path).execute();
    await left;
  }
});

// Timers

test("the timeout ends a run of which no byte has come, whether there was a head or not", async (t) => {
  let left;
  const url = await streaming(t, (response, request) => {
    left = closed(response);
    if (request.url === "/head") response.flushHeaders();
  });
  for (const path of ["/head", "/nothing"]) {
    const client = recorded(url + path, { timeout: 60 });
    await client.execute();
    assert.deepEqual(failedWith(client), ["error", "TIMEOUT_ERROR", 408]);
    assert.deepEqual(client.called, [["error", "TIMEOUT_ERROR"]]);
    await left;
  }
});

test("the timeout is over with the first byte, be it a heartbeat", async (t) => {
  const url = await streaming(t, async (response) => {
    response.write(":\n\n");
    await sleep(900);
    response.end(chunk(1) + DONE);
  });
  const client = recorded(url, { timeout: 600 });
  await client.execute();
  assert.deepEqual(client.called, [["chunk", 1], ["done", [1]]]);
});

test("the timeout counts the wait for headers too", async () => {
  const client = createStreamAction("/never-called", { timeout: 30, headers: () => new Promise(() => {}) });
  await client.execute();
  assert.equal(client.error.code, "TIMEOUT_ERROR");
});

test("each run has its own timeout", async (t) => {
  const url = await streaming(t, async (response) => {
    await sleep(500);
    response.end(DONE);
  });
  const client = recorded(url, { timeout: 900 });
  const first = client.execute();
  await sleep(450);
  await client.execute(); // until 950 ms; the timeout of the first would end it at 900
  await first;
  assert.deepEqual(client.called, [["done", []]]);
});

test("the watchdog ends a stream that has fallen silent; heartbeats keep it alive", async (t) => {
  let left;
  const url = await streaming(t, async (response) => {
    left = closed(response);
    for (let count = 0; count < 10; count++) {
      response.write(":\n\n");
      await sleep(60);
    }
    response.write(chunk("last"));
  });
  const client = recorded(url, { watchdogS: 0.4 });
  await client.execute();
  assert.deepEqual(client.called, [["chunk", "last"], ["error", "STREAM_SILENT"]]);
  assert.deepEqual(failedWith(client), ["error", "STREAM_SILENT", 504]);
  await left;
});

test("the watchdog ends a run to which nothing comes at all", async (t) => {
  const url = await streaming(t, () => {});
  const client = recorded(url, { watchdogS: 0.05 });
  await client.execute();
  assert.deepEqual(client.called, [["error", "STREAM_SILENT"]]);
});

test("without them, silence is no matter, and times longer than a timer takes are none", async (t) => {
  const url = await streaming(t, async (response) => {
    await sleep(100);
    response.write(chunk(1));
    await sleep(100);
    response.end(DONE);
  });
  for (const options of [{}, { timeout: 0, watchdogS: 0 }, { timeout: Infinity, watchdogS: Infinity }, { timeout: 2 ** 31, watchdogS: 2 ** 31 }]) {
    const client = createStreamAction(url, options);
    await client.execute();
    assert.equal(client.status, "done");
  }
});

test("nothing of a run keeps Node alive", async (t) => {
  const url = await streaming(t, (response, request) => {
    if (request.url === "/done") response.end(chunk(1) + DONE);
    else response.write(chunk(1));
  });
  const script = `
    import { createStreamAction } from ${JSON.stringify(MODULE)};
    const options = { timeout: ${FOR_EVER}, watchdogS: ${FOR_EVER / 1000} };
    await createStreamAction("${url}/done", options).execute();
    await createStreamAction("${url}/refused-input", options).execute(1n);
    const endless = createStreamAction("${url}/endless", { ...options, onChunk: () => endless.stop() });
    await endless.execute();
    console.log("over");`;
  const command = [process.execPath, ["--input-type=module", "--eval", script], { timeout: FOR_EVER / 2 }];
  const { stdout, stderr } = await promisify(execFile)(...command);
  assert.deepEqual([stdout, stderr], ["over\n", ""]);
});

// Cost

test("a million chunks take time in proportion to their number", async (t) => {
  const part = Buffer.from(chunk({ text: "hello" }).repeat(1000));
  let pull;
  t.mock.method(globalThis, "fetch", async () => {
    return new Response(new ReadableStream({ pull }), { headers: { "Content-Type": "text/event-stream" } });
  });
  const read = async (count) => {
    let ms = Infinity;
    for (let repeat = 0; repeat < 2; repeat++) {
      let left = count / 1000;
      pull = (controller) => controller.enqueue(left-- ? part : Buffer.from(DONE));
      let called = 0;
      const client = createStreamAction("/action", { onChunk: () => called++ });
      client.subscribe(() => client.getSnapshot());
      const start = performance.now();
      await client.execute();
      ms = Math.min(ms, performance.now() - start);
      assert.deepEqual([client.status, client.chunks.length, called], ["done", count, count]);
    }
    return ms;
  };
  const few = await read(100_000);
  assert((await read(1_000_000)) < 40 * few); // ten times as long, where a quadratic cost were a hundred times
});
