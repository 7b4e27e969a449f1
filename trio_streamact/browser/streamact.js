// @ts-check
/** The client of streaming server actions. streamact.d.ts documents it. */

const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Decodes bytes to events. Source: HTML Living Standard, 9.2.5 and 9.2.6.
 *
 * One departure: the standard does not limit the size of an event; this decoder throws a RangeError.
 */
export class EventDecoder {
  retryMs = /** @type {number | null} */ (null);
  #bytes = new Uint8Array(0);
  #size = 0; // the bytes of an unfinished line, at the start of #bytes
  #atStart = true;
  #afterCr = false;
  #data = /** @type {string[]} */ ([]);
  #dataBytes = 0;
  #type = "";
  #id = "";
  #limit;

  constructor(maxEventBytes = 2 ** 21) {
    this.#limit = maxEventBytes;
  }

  *feed(part) {
    this.#check(0);
    let [start, end] = [0, this.#size];
    const size = end + part.length;
    let bytes = this.#bytes;
    if (size > bytes.length) {
      // Allocate more than needed: else a long line in tiny parts would be copied with each part.
      bytes = new Uint8Array(2 * size);
      bytes.set(this.#bytes.subarray(0, end));
      this.#bytes = bytes;
    }
    bytes.set(part, end);
    if (this.#atStart && String.fromCharCode(...bytes.subarray(0, 3)) === "\xef\xbb\xbf") {
      this.#atStart = false;
      start = 3;
    }
    for (; end < size; end++) {
      const isLf = bytes[end] === 10;
      if (!isLf && bytes[end] !== 13) continue;
      if (end > start) this.#read(bytes.subarray(start, end));
      else if (!isLf || !this.#afterCr) {
        const [type, data] = [this.#type, this.#data];
        [this.#type, this.#data, this.#dataBytes] = ["", [], 0];
        if (data.length) yield { type: type || "message", data: data.join("\n"), id: this.#id };
      }
      // A CR ends a line at once, and an LF directly after it is ignored. Waiting for the LF would delay the event.
      this.#afterCr = !isLf;
      this.#atStart = false;
      start = end + 1;
    }
    if (start) bytes.copyWithin(0, start, size);
    this.#size = size - start;
    this.#check(this.#size);
  }

  #read(line) {
    this.#check(line.length);
    const text = UTF8.decode(line);
    const [name] = text.split(":", 1);
    const value = text.slice(name.length + 1).replace(/^ /, "");
    if (name === "data") {
      this.#data.push(value);
      this.#dataBytes += line.length;
    } else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Math.min(+value, 2 ** 31 - 1); // the longest timer
  }

  #check(lineBytes) {
    if (this.#dataBytes + lineBytes <= this.#limit) return;
    this.#limit = -1; // every later call of `feed` throws, too
    throw RangeError("The event is larger than maxEventBytes");
  }
}

const FAILURES = {
  TIMEOUT_ERROR: [408, "The server did not respond in time"],
  REDIRECTED: [502, "The response is a redirect, which is not followed"],
  NOT_A_STREAM: [502, "The response is not an event stream"],
  STREAM_INCOMPLETE: [502, "The stream ended before it was complete"],
  MALFORMED_EVENT: [502, "The stream contains an invalid event"],
  EVENT_TOO_LARGE: [502, "The stream contains an event that is too large"],
  NETWORK_ERROR: [503, "The server cannot be reached"],
  STREAM_SILENT: [504, "No data received within the watchdog timeout"],
};

const failure = (code, [statusCode, message] = FAILURES[code]) => ({ code, message, statusCode });

/** Return the message in an event: `{ chunk }`, `{ error }`, or `{}` for done. @returns {any} */
function readFrame({ type, data }) {
  try {
    const chunk = JSON.parse(data);
    const members = Object(chunk);
    if (type === "error") return errorOf(chunk);
    if ("__actions_error" in members) return errorOf(chunk.__actions_error);
    return type === "done" || "__actions_done" in members ? {} : { chunk };
  } catch {
    return { error: failure("MALFORMED_EVENT") };
  }
}

const areTexts = (values) => Array.isArray(values) && values.every((value) => typeof value === "string");

function errorOf({ code, message, statusCode, fieldErrors, retryAfter }) {
  const fields = fieldErrors ?? {};
  const isError =
    areTexts([code, message]) &&
    Number.isInteger(statusCode) &&
    statusCode >= 100 &&
    statusCode <= 599 &&
    {}.toString.call(fields) === "[object Object]" && // `fields.toString` may be a field of the input
    Object.values(fields).every(areTexts) &&
    (retryAfter == null || (Number.isFinite(retryAfter) && retryAfter >= 0));
  if (!isError) throw TypeError();
  const error = { code, message, statusCode, ...(fieldErrors && { fieldErrors }) };
  return { error: retryAfter == null ? error : { ...error, retryAfter } };
}

const textOf = (value) => (typeof value === "object" && value ? JSON.stringify(value) : `${value ?? ""}`);

/** Return the URL and the body: the input fills the variables of the path, and the rest is the query or the body. */
function place(path, method, input) {
  let rest = input ?? {};
  const url = path.replace(/\{(\w+)\}/g, (_, name) => {
    const value = Object.hasOwn(Object(input), name) ? textOf(input[name]) : "";
    // Such a segment changes the path, also if it is escaped.
    if (/^\.{0,2}$/.test(value)) throw TypeError(`The input has no valid value for the URL variable ${name}`);
    if (rest === input) rest = { ...input };
    delete rest[name];
    return encodeURIComponent(value);
  });
  if (!/^(GET|HEAD)$/i.test(method)) return [url, JSON.stringify(rest)];
  if (typeof rest !== "object") throw TypeError("The input must be an object, because the query contains its members");
  const query = new URLSearchParams(Object.entries(rest).map(([name, value]) => [name, textOf(value)]));
  return [`${url}${url.includes("?") ? "&" : "?"}${query}`.replace(/[?&]$/, "")];
}

const report = (error) => (globalThis.reportError ?? console.error)(error);

function call(callback, value) {
  try {
    callback?.(value)?.catch?.(report);
  } catch (error) {
    report(error);
  }
}

/** @type {(action: any, options?: any) => import("./streamact.js").StreamAction} */
export function createStreamAction(action, options = {}) {
  let snapshot = /** @type {any} */ ({ status: "idle", chunks: [], data: null, error: null });
  let current; // the run in progress; other runs must not change the state
  const listeners = new Set();
  const timers = {};

  function change(members, callback, value) {
    const mine = (snapshot = { ...snapshot, ...members });
    for (const listener of listeners) {
      call(listener);
      if (snapshot !== mine) return; // the listener started or ended a run, and all listeners were called for that
    }
    call(callback, value);
  }

  function leave() {
    const run = current;
    current = null;
    alarm("TIMEOUT_ERROR");
    alarm("STREAM_SILENT");
    run.reader?.cancel().catch(() => {});
    run.abort();
    run.over();
  }

  function alarm(code, ms = 0) {
    clearTimeout(timers[code]);
    // A timer of more than 31 bits would fire at once.
    if (ms > 0 && ms < 2 ** 31) timers[code] = setTimeout(() => fail(failure(code)), ms);
  }

  function fail(error) {
    leave();
    change({ status: "error", error }, options.onError, error);
  }

  async function pump(run, input) {
    alarm("TIMEOUT_ERROR", options.timeout);
    alarm("STREAM_SILENT", options.watchdogS * 1000);
    try {
      const response = await respond(run, input);
      if (run === current) await read(run, response);
    } catch (/** @type {any} */ error) {
      const { blame } = run;
      const reported = failure(blame, FAILURES[blame] ?? [400, `${error?.message ?? error}`]);
      // For debugging only. Not enumerable, so it is not copied, compared or serialized as JSON.
      if (run === current) fail(Object.defineProperty(reported, "cause", { value: error }));
    }
  }

  async function respond(run, input) {
    const { path = action, method = options.method ?? "POST" } = action;
    const [url, body] = place(path, method, input);
    const given = options.headers;
    const headers = new Headers(await (typeof given === "function" ? given() : given));
    headers.set("Accept", "text/event-stream");
    if (body) headers.set("Content-Type", "application/json");
    run.blame = "NETWORK_ERROR";
    const redirect = options.followRedirects ? "follow" : "manual"; // the target would receive headers and input
    // If the run has ended meanwhile, its signal is aborted, and `fetch` sends nothing.
    return fetch(url, { method, headers, body, redirect, signal: run.signal });
  }

  async function read(run, { ok, status, headers, body }) {
    // In a browser the status of a redirect is 0.
    if (/^(0|30[12378])$/.test(status)) return fail(failure("REDIRECTED"));
    if (status > 599) status = 502; // RFC 9110, 15: not valid; error frames do not allow it, either
    if (!ok) return fail(failure("HTTP_ERROR", [status, `HTTP ${status}`]));
    if (!/^text\/event-stream *(;|$)/i.test(headers.get("Content-Type"))) return fail(failure("NOT_A_STREAM"));
    const decoder = new EventDecoder(options.maxEventBytes);
    run.blame = "STREAM_INCOMPLETE";
    run.reader = body.getReader();
    for (;;) {
      const { value, done } = await run.reader.read();
      if (run !== current) return;
      if (done) return fail(failure(run.blame));
      alarm("TIMEOUT_ERROR");
      alarm("STREAM_SILENT", options.watchdogS * 1000);
      run.blame = "EVENT_TOO_LARGE";
      for (const event of decoder.feed(value)) {
        const { chunk, error } = readFrame(event);
        if (error) return fail(error);
        if (chunk === undefined) {
          leave();
          return change({ status: "done" }, options.onDone, snapshot.chunks);
        }
        snapshot.chunks.push(chunk);
        change({ data: chunk }, options.onChunk, chunk);
        if (run !== current) return;
      }
      run.blame = "STREAM_INCOMPLETE";
    }
  }

  return {
    execute(input) {
      if (current) leave();
      return new Promise((over) => {
        const run = (current = Object.assign(new AbortController(), { over, blame: "INVALID_INPUT" }));
        change({ status: "streaming", chunks: [], data: null, error: null });
        if (run === current) pump(run, input);
      });
    },
    stop() {
      if (!current) return;
      leave();
      change({ status: "done" });
    },
    subscribe(listener) {
      const own = () => listener();
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    getSnapshot: () => snapshot,
    get chunks() {
      return snapshot.chunks;
    },
    get data() {
      return snapshot.data;
    },
    get status() {
      return snapshot.status;
    },
    get error() {
      return snapshot.error;
    },
  };
}
