/** Where the state of a stream action stands. */
export type StreamStatus = "idle" | "streaming" | "done" | "error";

/**
 * What a run has failed with. The server's own errors come as they are. The client's have these codes:
 *
 * | code | statusCode | |
 * |---|---|---|
 * | `INVALID_INPUT` | 400 | the request cannot be made: the input is no JSON, the path lacks a value, `headers` threw |
 * | `TIMEOUT_ERROR` | 408 | nothing came within `timeout` |
 * | `HTTP_ERROR` | the response's | the response is neither 2xx nor a redirect |
 * | `REDIRECTED` | 502 | the response is a redirect; `followRedirects` allows it |
 * | `NOT_A_STREAM` | 502 | the response is something else, a page for instance |
 * | `STREAM_INCOMPLETE` | 502 | the bytes ended, or broke off, before the server said how the stream ended |
 * | `MALFORMED_EVENT` | 502 | an event is none that a stream action sends |
 * | `EVENT_TOO_LARGE` | 502 | an event is larger than `maxEventBytes` |
 * | `NETWORK_ERROR` | 503 | there is no response |
 * | `STREAM_SILENT` | 504 | nothing came for `watchdogS` |
 */
export interface StreamActionError {
  /** What went wrong, for programs. */
  readonly code: string;
  /** The same for people. */
  readonly message: string;
  /** The HTTP status that says it best; the response itself was a 200 if the error came in the stream. */
  readonly statusCode: number;
  /** Messages by the dotted path of the input field that they are about; `_root` is the whole input. */
  readonly fieldErrors?: Readonly<Record<string, readonly string[]>>;
  /** Seconds after which it may be worth to try again. */
  readonly retryAfter?: number;
  /** What was thrown, where the client gave the error for that: `fetch`'s own words, say. Not enumerable. */
  readonly cause?: unknown;
}

/**
 * An action of a server: its path, its method, and for the compiler alone its types.
 *
 * `name: string` stands in the path as `{name}` for a variable: it is filled from the input's member of that name.
 */
export interface StreamActionReference<Input = any, Chunk = any> {
  readonly name?: string;
  readonly path: string;
  readonly method: string;
  /** Never there at run time. */
  readonly __types?: { input: Input; chunk: Chunk };
}

/** Headers, in any form that `fetch` takes. */
export type StreamActionHeaders = HeadersInit | undefined;

/** Options of a stream action. They are read anew at each `execute`, the callbacks at each call. */
export interface StreamActionOptions<Chunk = any> {
  /** The HTTP method, in capitals, by default `"POST"`. A reference has its own, which counts. */
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | (string & {});
  /**
   * Headers of the request, or a function that gives them, which may be async and is called at each `execute`.
   * If it throws, the run ends with `INVALID_INPUT`.
   */
  readonly headers?: StreamActionHeaders | (() => StreamActionHeaders | Promise<StreamActionHeaders>);
  /**
   * Whether redirects are followed, by default not: a redirect is `REDIRECTED`. With true, their target, which may be
   * of any origin, is sent the headers and the input. With 301, 302 and 303 a POST becomes a GET without the input.
   */
  readonly followRedirects?: boolean;
  /** Milliseconds until the first byte of the response's body must be there; by default as long as it takes. */
  readonly timeout?: number;
  /**
   * Seconds for which nothing may come, neither chunks nor heartbeats; by default for ever. Use more than the
   * server's `heartbeat_s`, twice for instance.
   */
  readonly watchdogS?: number;
  /** Bytes that one unfinished event may take, by default 2 MiB. */
  readonly maxEventBytes?: number;
  /** Called with each chunk. */
  readonly onChunk?: (chunk: Chunk) => void;
  /** Called with all chunks when the server says that the stream is complete; not after `stop()`. */
  readonly onDone?: (chunks: readonly Chunk[]) => void;
  /** Called with the error when the run has failed. */
  readonly onError?: (error: StreamActionError) => void;
}

/** The state at one moment: a new object at each change. */
export interface StreamActionSnapshot<Chunk = any> {
  /** Where the run stands. After `stop()` it is `"done"`. */
  readonly status: StreamStatus;
  /** All chunks of the run so far. One array per run, which grows in place: a chunk costs the same however many there are. */
  readonly chunks: readonly Chunk[];
  /** The latest chunk, or null. */
  readonly data: Chunk | null;
  /** What the run has failed with, or null. */
  readonly error: StreamActionError | null;
}

/** One stream action, with the state of its latest run. */
export interface StreamAction<Input = any, Chunk = any> extends StreamActionSnapshot<Chunk> {
  /**
   * Begin a run, and end the one in flight, of which nothing more is heard. The state begins anew.
   *
   * Never rejects. Resolves when this run is over: done, failed, stopped, or replaced by another.
   *
   * @param input Sent as JSON, or with GET and HEAD as the query; but first into the variables of the path.
   */
  execute(...input: InputArguments<Input>): Promise<void>;
  /**
   * End the run in flight, at once: nothing more is delivered, `onDone` is not called, and the server cancels its
   * handler. Does nothing when nothing runs.
   */
  stop(): void;
  /**
   * Be told of each change of the state, before the callback of that change is.
   *
   * @returns A function that ends this.
   */
  subscribe(listener: () => void): () => void;
  /** Give the state of this moment. The same object as long as nothing changes. */
  getSnapshot(): StreamActionSnapshot<Chunk>;
}

/** The arguments of `execute`: none needed where the action takes no input. */
export type InputArguments<Input> = undefined extends Input
  ? [input?: Input]
  : [Input] extends [void]
    ? []
    : [input: Input];

/**
 * Make a streaming server action callable.
 *
 * Callbacks and listeners may call `execute` and `stop`. What they throw is reported as uncaught errors are, and the
 * run goes on.
 *
 * @param reference The action, out of the generated module of references; it brings its types.
 */
export function createStreamAction<Input, Chunk>(
  reference: StreamActionReference<Input, Chunk>,
  options?: StreamActionOptions<Chunk>,
): StreamAction<Input, Chunk>;

/**
 * Make a streaming server action callable.
 *
 * @param url The action's path or URL.
 */
export function createStreamAction<Input = any, Chunk = any>(
  url: string,
  options?: StreamActionOptions<Chunk>,
): StreamAction<Input, Chunk>;

/** One event of an event stream. */
export interface StreamEvent {
  /** Its type, `"message"` where it says nothing. */
  readonly type: string;
  /** Its data. */
  readonly data: string;
  /** The last event ID as it stood when the event was dispatched. */
  readonly id: string;
}

/**
 * The bytes of an event stream to events, wherever the network cuts them.
 *
 * By the HTML Living Standard, sections 9.2.5 and 9.2.6, but for one thing: there an event may grow without end.
 */
export class EventDecoder {
  /** @param maxEventBytes How much of an unfinished event is kept, the names of its fields included. */
  constructor(maxEventBytes?: number);
  /** The reconnection time that the stream last asked for, in milliseconds, at most 2 ** 31 - 1; or null. */
  readonly retryMs: number | null;
  /**
   * Take the next bytes, and give the events that they complete, one by one. Iterate to the end before the next part.
   *
   * @throws {RangeError} An event is larger than `maxEventBytes`. The events before it were given; from here on the
   *     decoder takes nothing.
   */
  feed(part: Uint8Array): Generator<StreamEvent, void, undefined>;
}
