// @ts-check
/** Reads what a stream action sends. All that a page needs, and no more: one `fetch`, no build, no dependency. */

/** An error that the server told, or that came of not hearing from it. */
export class StreamError extends Error {
  /** @param {{code: string, message: string, fieldErrors?: Record<string, string[]>}} told */
  constructor({ code, message, fieldErrors = {} }) {
    super(message);
    this.code = code;
    this.fieldErrors = fieldErrors;
  }
}

/**
 * Call the action at *path*, and give its chunks as they come. Returns when the server says that it is done.
 *
 * @param {string} path
 * @param {unknown} input
 * @param {AbortSignal} signal Stops it, and with it the handler on the server.
 * @returns {AsyncGenerator<any, void>}
 * @throws {StreamError} The action failed, or the bytes ended before it said how it ended.
 */
export async function* streamAction(path, input, signal) {
  let reader;
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(input),
      signal,
    });
    if (!response.ok || !response.body) {
      throw new StreamError({ code: "HTTP_ERROR", message: `The server answered ${response.status}` });
    }
    reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    yield* chunksFrom(reader);
  } catch (error) {
    if (error instanceof StreamError || signal.aborted) throw error;
    throw new StreamError({ code: "NETWORK_ERROR", message: "There is no connection to the server" });
  } finally {
    reader?.cancel().catch(() => {}); // a page that stops reading must not leave the server writing
  }
}

/** @param {ReadableStreamDefaultReader<string>} reader */
async function* chunksFrom(reader) {
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    // The server always says how a stream ends, so mere silence is an error.
    if (done) throw new StreamError({ code: "STREAM_INCOMPLETE", message: "The server broke off in the middle" });
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data:")) continue; // the blank line behind an event, or a sign of life
      const data = JSON.parse(line.slice("data:".length));
      if (data?.__actions_done) return;
      if (data?.__actions_error) throw new StreamError(data.__actions_error);
      yield data;
    }
  }
}
