// What the compiler must accept and refuse; nothing of it is ever run.
import {
  EventDecoder,
  createStreamAction,
  type StreamAction,
  type StreamActionReference,
} from "../../trio_streamact/browser/streamact.js";

interface Prompt {
  prompt: string;
}
interface Token {
  text: string;
}

// As the generated references are written, which know nothing of this module.
declare const aiChat: {
  readonly name: "ai_chat";
  readonly path: string;
  readonly method: "POST";
  readonly __types?: { input: Prompt; chunk: Token };
};
declare const ticks: {
  readonly name: "ticks";
  readonly path: string;
  readonly method: "GET";
  readonly __types?: { input: void; chunk: number };
};

// A reference brings its types
const chat = createStreamAction(aiChat, {
  headers: async () => ({ Authorization: "x" }),
  onChunk: (chunk) => chunk.text.length,
  onDone: (chunks) => chunks[0]?.text,
  onError: ({ fieldErrors, retryAfter }) => [fieldErrors?.["prompt"]?.[0]?.length, retryAfter?.toFixed()],
});
const run: Promise<void> = chat.execute({ prompt: "x" });
const latest: string | undefined = chat.data?.text;
const words: string[] = chat.chunks.map(({ text }) => text);
// @ts-expect-error: no such member
chat.execute({ promt: "x" });
// @ts-expect-error: the input is missing
chat.execute();
// @ts-expect-error: the chunks are the run's
chat.chunks.push({ text: "" });
// @ts-expect-error: so is the state
chat.status = "done";
// @ts-expect-error: no such member
chat.data?.word;

// Without an input, none is given
const tick = createStreamAction(ticks, { timeout: 1000, watchdogS: 30, followRedirects: true });
tick.execute();
const count: number | null = tick.data;
// @ts-expect-error: there is no input
tick.execute(1);

// A path is told its types
const byPath: StreamAction<Prompt, Token> = createStreamAction<Prompt, Token>("/x", { method: "PUT" });
byPath.execute({ prompt: "" });
// @ts-expect-error: the input is missing
byPath.execute();
const optional = createStreamAction<Prompt | undefined, Token>("/x");
optional.execute();
optional.execute({ prompt: "" });

// or takes anything
const anything = createStreamAction("/x", { onChunk: (chunk) => chunk.any.thing });
anything.execute();
anything.execute({ any: "thing" });
const reference: StreamActionReference = aiChat;
createStreamAction(reference).execute();

// @ts-expect-error: no such option
createStreamAction("/x", { onchunk: () => {} });
// @ts-expect-error: neither a path nor a reference
createStreamAction({ method: "GET" });

const unsubscribe: () => void = chat.subscribe(() => chat.getSnapshot().error?.code);
for (const { type, data, id } of new EventDecoder(1000).feed(new Uint8Array())) [type, data, id].join();
const retryMs: number | null = new EventDecoder().retryMs;
export { count, latest, retryMs, run, unsubscribe, words };
