/** The status of a stream action. */
export type StreamStatus = "idle" | "streaming" | "done" | "error";

/**
 * The error of a run. Errors of the server are unchanged. Errors of the client have these codes:
 *
 * | code | statusCode | |
 * |---|---|---|
 * | `INVALID_INPUT` | 400 | invalid input, no value for a variable of the path, or `headers` threw |
 * | `TIMEOUT_ERROR` | 408 | no byte of the body arrived within `timeout` |
 * | `HTTP_ERROR` | the response's | the response is neither 2xx nor a redirect |
 * | `REDIRECTED` | 502 | the response is a redirect; `followRedirects` allows it |
 * | `NOT_A_STREAM` | 502 | the response is not an event stream, but for example a page |
 * | `STREAM_INCOMPLETE` | 502 | the response ended, or the connection failed, before a done or error frame |
 * | `MALFORMED_EVENT` | 502 | an event is not valid for a stream action |
 * | `EVENT_TOO_LARGE` | 502 | an event is larger than `maxEventBytes` |
 * | `NETWORK_ERROR` | 503 | the server cannot be reached |
 * | `STREAM_SILENT` | 504 | no data arrived for `watchdogS` |
 */
export interface StreamActionError {
  /** The error, for programs. */
  readonly code: string;
  /** The error, for people. */
  readonly message: string;
  /** The HTTP status that describes the error. If the error came in the stream, the response itself was a 200. */
  readonly statusCode: number;
  /** Messages by the dotted path of the input field; `_root` is the whole input. */
  readonly fieldErrors?: Readonly<Record<string, readonly string[]>>;
  /** The seconds after which the client may retry. */
  readonly retryAfter?: number;
  /** The exception that caused an error of the client, for example that of `fetch`. Not enumerable. */
  readonly cause?: unknown;
}

/**
 * A reference to an action of a server: its path and method, and its types, which exist only for the compiler.
 *
 * A `{name}` in the path is a variable. It is filled from the member of that name in the input.
 */
export interface StreamActionReference<Input = any, Chunk = any> {
  readonly name?: string;
  readonly path: string;
  readonly method: string;
  /** Does not exist at run time. */
  readonly __types?: { input: Input; chunk: Chunk };
}

/** Headers, in any form that `fetch` accepts. */
export type StreamActionHeaders = HeadersInit | undefined;

/** The options of a stream action. Each `execute` reads them again; a callback is read each time it is called. */
export interface StreamActionOptions<Chunk = any> {
  /** The HTTP method, in upper case. The default is `"POST"`. The method of a reference takes precedence. */
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | (string & {});
  /**
   * The headers of the request, or a function that returns them. It may be async; each `execute` calls it.
   * If it throws, the run ends with `INVALID_INPUT`.
   */
  readonly headers?: StreamActionHeaders | (() => StreamActionHeaders | Promise<StreamActionHeaders>);
  /**
   * If true, redirects are followed. The target, which may be of any origin, receives the headers and the input. For
   * 301, 302 and 303, a POST becomes a GET without the input. By default, a redirect is the error `REDIRECTED`.
   */
  readonly followRedirects?: boolean;
  /** The time until the first byte of the body must arrive, in milliseconds. By default, there is no limit. */
  readonly timeout?: number;
  /**
   * The longest time without data, neither chunks nor heartbeats, in seconds. By default, there is no limit.
   * Use more than the server's `heartbeat_s`, for example twice as much.
   */
  readonly watchdogS?: number;
  /** The largest event, in bytes. The default is 2 MiB. */
  readonly maxEventBytes?: number;
  /** Called with each chunk. */
  readonly onChunk?: (chunk: Chunk) => void;
  /** Called with all chunks when the stream is done; not after `stop()`. */
  readonly onDone?: (chunks: readonly Chunk[]) => void;
  /** Called with the error of a run that failed. */
  readonly onError?: (error: StreamActionError) => void;
}

/** The state at one moment. Each change creates a new object. */
export interface StreamActionSnapshot<Chunk = any> {
  /** The status of the run. After `stop()` it is `"done"`. */
  readonly status: StreamStatus;
  /** All chunks of the run so far. Each run has one array, which grows in place: the cost of a chunk stays the same. */
  readonly chunks: readonly Chunk[];
  /** The latest chunk, or null. */
  readonly data: Chunk | null;
  /** The error of the run, or null. */
  readonly error: StreamActionError | null;
}

/** One stream action, with the state of its latest run. */
export interface StreamAction<Input = any, Chunk = any> extends StreamActionSnapshot<Chunk> {
  /**
   * Start a run, and end the run in progress, which then calls no more callbacks. The state is reset.
   *
   * Never rejects. Resolves when this run has ended: done, failed, stopped, or replaced by another run.
   *
   * @param input Fills the variables of the path. The rest is sent as JSON, or with GET and HEAD as the query.
   */
  execute(...input: InputArguments<Input>): Promise<void>;
  /**
   * End the run in progress at once: no more chunks are delivered, `onDone` is not called, and the server cancels the
   * handler. Does nothing if there is no run.
   */
  stop(): void;
  /**
   * Call *listener* at each change of the state, before the callback for that change.
   *
   * @returns A function that removes the listener.
   */
  subscribe(listener: () => void): () => void;
  /** Return the current state: the same object until the state changes. */
  getSnapshot(): StreamActionSnapshot<Chunk>;
}

/** The arguments of `execute`. If the action takes no input, none is needed. */
export type InputArguments<Input> = undefined extends Input
  ? [input?: Input]
  : [Input] extends [void]
    ? []
    : [input: Input];

/**
 * Return an object that calls a streaming server action and keeps the state of its latest run.
 *
 * Callbacks and listeners may call `execute` and `stop`. An exception that they throw is reported like an uncaught
 * error, and the run continues.
 *
 * @param reference The action, from the generated module `actions.js`. It contains the types.
 */
export function createStreamAction<Input, Chunk>(
  reference: StreamActionReference<Input, Chunk>,
  options?: StreamActionOptions<Chunk>,
): StreamAction<Input, Chunk>;

/**
 * Return an object that calls a streaming server action and keeps the state of its latest run.
 *
 * @param url The action's path or URL.
 */
export function createStreamAction<Input = any, Chunk = any>(
  url: string,
  options?: StreamActionOptions<Chunk>,
): StreamAction<Input, Chunk>;

/** One event of an event stream. */
export interface StreamEvent {
  /** The type of the event. The default is `"message"`. */
  readonly type: string;
  /** The data of the event. */
  readonly data: string;
  /** The last event ID at the time when the event was dispatched. */
  readonly id: string;
}

/**
 * Decodes the bytes of an event stream to events, wherever the network splits the bytes.
 *
 * Source: HTML Living Standard, sections 9.2.5 and 9.2.6. One departure: the standard does not limit the size of an
 * event; this decoder does.
 */
export class EventDecoder {
  /** @param maxEventBytes The largest event, in bytes, including the names of its fields. */
  constructor(maxEventBytes?: number);
  /** The last reconnection time that the stream requested, in milliseconds, at most 2 ** 31 - 1; or null. */
  readonly retryMs: number | null;
  /**
   * Decode the next bytes, and yield the events that they complete. Iterate to the end before you pass the next part.
   *
   * @throws {RangeError} An event is larger than `maxEventBytes`. The events before it were yielded. All later calls
   *     throw as well.
   */
  feed(part: Uint8Array): Generator<StreamEvent, void, undefined>;
}
