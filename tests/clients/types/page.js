// @ts-check
// A page without a build: the compiler finds the types behind the addresses by `paths` in its configuration.
import { aiChat } from "/api/_actions/_client/actions.js";
import { createStreamAction } from "/api/_actions/_client/streamact.js";
import { useStreamAction } from "/api/_actions/_client/vue.js";

const core = createStreamAction(aiChat, { onChunk: ({ text }) => text.toUpperCase() });
core.execute({ prompt: "Hello" });
core.execute({ prompt: 1 }); // 2322
useStreamAction(aiChat).execute({ promt: "Hello" }); // 2561
