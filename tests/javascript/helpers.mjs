// What the tests of the JavaScript client share: the vectors, real servers, and what a client went through.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createRawServer } from "node:net";
import { createStreamAction } from "../../trio_streamact/browser/streamact.js";

/** Read one of the files in tests/vectors, each with its bytes as `bytes`. */
export function vectors(name) {
  const text = readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf8");
  return JSON.parse(text).map((vector) => ({ ...vector, bytes: Buffer.from(vector.text ?? vector.base64, vector.text === undefined ? "base64" : "utf8") }));
}

/** All the ways to cut bytes into two parts, and the one into single bytes. */
export function* cuts(bytes) {
  for (let place = 0; place <= bytes.length; place++) yield [bytes.subarray(0, place), bytes.subarray(place)];
  yield Array.from(bytes, (byte) => Uint8Array.of(byte));
}

/** Serve with *handler* on a free port of loopback until the test is over. */
export async function serving(t, handler) {
  const server = createServer(handler);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** Answer every request with *bytes*, the head of the response included, until the test is over. */
export async function answering(t, bytes) {
  const server = createRawServer((connection) => connection.on("error", () => {}).once("data", () => connection.end(bytes)));
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

/** Serve streams: *respond* is given each response, its head not yet sent, and the request with its whole `text`. */
export function streaming(t, respond) {
  return serving(t, async (request, response) => {
    request.text = "";
    for await (const part of request.setEncoding("utf8")) request.text += part;
    response.setHeader("Content-Type", "text/event-stream");
    await respond(response, request);
  });
}

export const DONE = 'data: {"__actions_done":true}\n\n';
export const chunk = (data) => `data: ${JSON.stringify(data)}\n\n`;
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** When the client has closed the connection of *response*. */
export const closed = (response) => new Promise((resolve) => response.on("close", resolve));

/** Make a client that writes down which callbacks were called, in `called`. */
export function recorded(action, options = {}) {
  const called = [];
  const client = createStreamAction(action, {
    ...options,
    onChunk: (data) => (called.push(["chunk", data]), options.onChunk?.(data)),
    onDone: (chunks) => (called.push(["done", [...chunks]]), options.onDone?.(chunks)),
    onError: (error) => (called.push(["error", error.code]), options.onError?.(error)),
  });
  return Object.assign(client, { called });
}
