// What the server is asked: method, path, query, headers and body. Against a real server, which tells what it got.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createStreamAction } from "../../trio_streamact/browser/streamact.js";
import { DONE, chunk, serving, sleep, streaming } from "./helpers.mjs";

/** A server whose only chunk is the request. */
const echoing = (t) =>
  streaming(t, (response, { method, url, headers, text }) => response.end(chunk({ method, url, headers, text }) + DONE));

async function asked(t, path, options, ...input) {
  const url = await echoing(t);
  const client = createStreamAction(typeof path === "string" ? url + path : { ...path, path: url + path.path }, options);
  await client.execute(...input);
  assert.equal(client.status, "done", client.error?.message);
  return client.data;
}

async function refused(t, path, options, ...input) {
  const url = await serving(t, () => assert.fail("a request was made"));
  const called = [];
  const client = createStreamAction(url + path, { ...options, onError: (error) => called.push(error) });
  await client.execute(...input);
  await sleep(5);
  assert.equal(client.status, "error");
  assert.deepEqual([client.error.code, client.error.statusCode], ["INVALID_INPUT", 400]);
  assert.deepEqual(called, [client.error]);
  return client.error.message;
}

test("by default the input is posted as JSON", async (t) => {
  const { method, url, headers, text } = await asked(t, "/a?b=1", undefined, { prompt: "ä", none: null });
  assert.deepEqual([method, url, text], ["POST", "/a?b=1", '{"prompt":"ä","none":null}']);
  assert.deepEqual([headers["content-type"], headers.accept], ["application/json", "text/event-stream"]);
});

test("without an input the body is an empty object", async (t) => {
  assert.equal((await asked(t, "/a")).text, "{}");
  assert.equal((await asked(t, "/a", {}, null)).text, "{}");
});

test("any JSON may be an input", async (t) => {
  for (const input of [0, "", false, [1, { a: null }], "text"]) {
    assert.equal((await asked(t, "/a", { method: "PUT" }, input)).text, JSON.stringify(input));
  }
});

test("with GET the input is the query, as the model makes it", async (t) => {
  const input = { page: 2, filter: { a: [1, 2] }, list: ["x"], none: null, left: undefined, yes: true, text: "ä &=?/+#", "a b": "" };
  const { method, url, headers, text } = await asked(t, "/a", { method: "GET" }, input);
  const query = [...new URL(url, "http://x").searchParams];
  assert.deepEqual(query, [
    ["page", "2"],
    ["filter", '{"a":[1,2]}'],
    ["list", '["x"]'],
    ["none", ""],
    ["left", ""],
    ["yes", "true"],
    ["text", "ä &=?/+#"],
    ["a b", ""],
  ]);
  assert.deepEqual([method, text, headers["content-type"]], ["GET", "", undefined]);
});

test("a query is added to the one that the path has", async (t) => {
  assert.equal((await asked(t, "/a?b=1", { method: "GET" }, { c: "?" })).url, "/a?b=1&c=%3F");
  assert.equal((await asked(t, "/a?b=1", { method: "GET" })).url, "/a?b=1");
  assert.equal((await asked(t, "/a", { method: "GET" }, {})).url, "/a");
});

test("a query cannot be made of a text or a number", async (t) => {
  for (const input of ["text", 1, true]) await refused(t, "/a", { method: "GET" }, input);
});

test("variables of the path are filled from the input, encoded, and left out of the rest", async (t) => {
  const input = { id: "a/b?ä {x}", page: 3, __proto__: { inherited: 1 }, more: [1] };
  const before = structuredClone(input);
  const posted = await asked(t, "/users/{id}/pages/{page}", {}, input);
  assert.deepEqual([posted.url, posted.text], ["/users/a%2Fb%3F%C3%A4%20%7Bx%7D/pages/3", '{"more":[1]}']);
  const got = await asked(t, "/users/{id}/{id}?fixed=1", { method: "GET" }, { id: false, more: [1] });
  assert.equal(got.url, "/users/false/false?fixed=1&more=%5B1%5D");
  const all = await asked(t, "/{id}", { method: "GET" }, { id: "$&" });
  assert.equal(all.url, "/%24%26");
  assert.deepEqual(structuredClone(input), before);
});

test("a variable of the path that is missing, or that would lead to another path, is refused without a request", async (t) => {
  const inputs = [undefined, null, {}, { other: 1 }, { id: undefined }, { id: null }, { id: "" }, { id: "." }, { id: ".." }, "id", [1]];
  for (const input of inputs) assert.match(await refused(t, "/a/{id}", {}, input), /\bid\b/);
  await refused(t, "/a/{constructor}/{__proto__}", {}, {});
  assert.equal((await asked(t, "/a/{id}", {}, { id: "..." })).url, "/a/...");
});

test("an input that cannot be encoded is refused without a request", async (t) => {
  const circle = {};
  circle.circle = circle;
  let deep = {};
  for (let level = 0; level < 100_000; level++) deep = { deep };
  for (const input of [circle, { big: 1n }, deep]) await refused(t, "/a", {}, input);
  await refused(t, "/a", { method: "GET" }, { circle });
  await refused(t, "/a/{id}", {}, { id: "\ud800" });
});

test("a reference says where and how, and its method wins", async (t) => {
  const reference = Object.freeze({ name: "ai_chat", path: "/x/{id}", method: "GET" });
  const { method, url } = await asked(t, reference, { method: "POST" }, { id: 1, a: 2 });
  assert.deepEqual([method, url], ["GET", "/x/1?a=2"]);
});

test("headers may be an object, a Headers, or a function of either, async or not", async (t) => {
  const given = { Authorization: "Bearer x", "X-Mine": "1" };
  for (const headers of [given, new Headers(given), Object.entries(given), () => given, async () => new Headers(given)]) {
    const seen = (await asked(t, "/a", { headers })).headers;
    assert.deepEqual([seen.authorization, seen["x-mine"]], ["Bearer x", "1"]);
    assert.deepEqual([seen["content-type"], seen.accept], ["application/json", "text/event-stream"]);
  }
  assert.equal((await asked(t, "/a", { headers: () => undefined })).text, "{}");
});

test("a function gives the headers anew at each execute", async (t) => {
  const url = await echoing(t);
  let count = 0;
  const client = createStreamAction(url, { headers: () => ({ "X-Count": String(++count) }) });
  for (const expected of ["1", "2"]) {
    await client.execute();
    assert.equal(client.data.headers["x-count"], expected);
  }
});

test("the body is JSON whatever the headers say", async (t) => {
  const { headers } = await asked(t, "/a", { headers: { "content-type": "text/plain", accept: "*/*" } });
  assert.deepEqual([headers["content-type"], headers.accept], ["application/json", "text/event-stream"]);
});

test("headers that cannot be had, or sent, are refused without a request, and in their own words", async (t) => {
  const failing = () => {
    throw new Error("no token");
  };
  for (const headers of [failing, async () => failing(), () => Promise.reject("no token")]) {
    assert.equal(await refused(t, "/a", { headers }), "no token");
  }
  await refused(t, "/a", { headers: () => Promise.reject() });
  await refused(t, "/a", { headers: { "X-Mine": "a\nb" } });
});

const SECRET = { headers: { "X-Api-Key": "secret", Authorization: "Bearer secret" } };

test("nothing is sent to where a redirect leads, be it another origin or the same", async (t) => {
  const elsewhere = await serving(t, () => assert.fail("a request was made"));
  for (const status of [301, 302, 303, 307, 308]) {
    for (const location of [elsewhere, "/elsewhere"]) {
      const asked = [];
      const url = await streaming(t, (response, request) => {
        asked.push(request.url);
        response.writeHead(status, { Location: location }).end(chunk(1) + DONE);
      });
      for (const method of ["POST", "GET"]) {
        const client = createStreamAction(`${url}/old`, { ...SECRET, method });
        await client.execute();
        assert.deepEqual([client.error.code, client.error.statusCode, client.chunks], ["REDIRECTED", 502, []]);
      }
      assert.deepEqual(asked, ["/old", "/old"]);
    }
  }
});

test("a redirect is followed as fetch does where the author allows it, to another origin too", async (t) => {
  const elsewhere = await echoing(t);
  const url = await streaming(t, (response, request) => {
    if (request.url !== "/old") return response.end(chunk({ method: request.method, headers: {}, text: request.text }) + DONE);
    return response.writeHead(+request.headers["x-status"], { Location: request.headers["x-to"] }).end();
  });
  for (const [status, to, method, text] of [
    [307, "/new", "POST", '{"a":1}'],
    [308, `${elsewhere}/new`, "POST", '{"a":1}'],
    [303, "/new", "GET", ""],
  ]) {
    const headers = { "X-Status": String(status), "X-To": to };
    const client = createStreamAction(`${url}/old`, { headers, followRedirects: true });
    await client.execute({ a: 1 });
    assert.deepEqual([client.data.method, client.data.text], [method, text]);
  }
});
