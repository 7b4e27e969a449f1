// A page in Vue that uses what the server has generated; what the compiler must take as it stands.
import { computed, watch, type Ref } from "vue";
import { useStreamAction } from "trio-streamact/vue";
import { aiChat, countDown, item } from "./actions.js";

const { execute, stop, chunks, data, status, error } = useStreamAction(aiChat, {
  headers: () => ({ Authorization: "Bearer token" }),
  timeout: 5000,
  watchdogS: 45,
  onChunk: (chunk) => chunk.text.toUpperCase(),
  onDone: (all) => all.map((chunk) => chunk.text).join(""),
  onError: (told) => told.fieldErrors?.prompt?.join(". "),
});

const text = computed<string>(() => chunks.value.map(({ text }) => text).join(""));
const latest = computed<string | undefined>(() => data.value?.text);
const problem = computed<string | undefined>(() => error.value?.message);
const isRunning = computed(() => status.value === "streaming");
watch(chunks, (now) => now.length);
const asRef: Readonly<Ref<readonly { text: string }[]>> = chunks;

const run: Promise<void> = execute({ prompt: "Hello" });
void execute({ prompt: "Hello", temperature: 0.5 });
stop();

// An action without input is called without; a variable of the path is input.
const countdown = useStreamAction(countDown);
void countdown.execute();
const left: number | null = countdown.data.value;
void useStreamAction(item).execute({ id: 7 });

// A path is told its types, or takes anything.
const byPath = useStreamAction<{ page: number }, { title: string }>("/pages", { method: "GET" });
void byPath.execute({ page: 1 });
const title: string | undefined = byPath.data.value?.title;
void useStreamAction("/anything").execute({ any: "thing" });

export { asRef, isRunning, latest, left, problem, run, text, title };
