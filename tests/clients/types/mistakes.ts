// What the compiler must refuse, line by line; the number behind each is the compiler's own for it.
import { createStreamAction } from "trio-streamact";
import { useStreamAction as useInReact } from "trio-streamact/react";
import { useStreamAction as useInVue } from "trio-streamact/vue";
import { aiChat, countDown, item, noSuchAction } from "./actions.js"; // 2305

const core = createStreamAction(aiChat);
const vue = useInVue(aiChat);
const react = useInReact(aiChat);

core.execute({ promt: "Hello" }); // 2561
vue.execute({ promt: "Hello" }); // 2561
react.execute({ promt: "Hello" }); // 2561

core.execute({ prompt: 1 }); // 2322
vue.execute({ prompt: 1 }); // 2322
react.execute({ prompt: 1 }); // 2322

core.execute(); // 2554
vue.execute(); // 2554
react.execute(); // 2554
core.execute({}); // 2345 or 2741
vue.execute({}); // 2345 or 2741
react.execute({}); // 2345 or 2741

core.data?.words; // 2339
vue.data.value?.words; // 2339
react.data?.words; // 2339
vue.chunks.value[0]?.words; // 2339
react.chunks[0]?.words; // 2339
useInVue(aiChat, { onChunk: (chunk) => chunk.words }); // 2339
useInReact(aiChat, { onDone: (chunks) => chunks[0]?.words }); // 2339
const count: number | undefined = vue.data.value?.text; // 2322

createStreamAction(countDown).execute({ from: 3 }); // 2345
useInVue(countDown).execute({ from: 3 }); // 2345
useInReact(countDown).execute({ from: 3 }); // 2345
useInVue(item).execute({ id: "seven" }); // 2322
useInVue<{ page: number }>("/pages").execute({ page: "one" }); // 2322

vue.status.value = "done"; // 2540
vue.chunks.value.push({ text: "mine" }); // 2339
react.chunks.push({ text: "mine" }); // 2339
react.status = "done"; // 2540
if (vue.status.value === "running") stop(); // 2367
useInVue(aiChat, { onchunk: () => {} }); // 2769
useInReact({ method: "GET" }); // 2769
aiChat.path = "/other"; // 2540
