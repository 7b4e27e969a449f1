/** A component that calls an action, in an app that can take it away again. */
import { createApp, nextTick, ref } from "vue";
import { useStreamAction } from "/api/_actions/_client/vue.js";

/** What the component holds. */
let held;
const isShown = ref(true);

const Stream = {
  props: ["action", "options"],
  setup(props) {
    return (held = useStreamAction(props.action, props.options));
  },
  template: `
    <p class="status">{{ status }}</p>
    <p v-for="(chunk, index) in chunks" :key="index" class="chunk">{{ JSON.stringify(chunk) }}</p>
    <p class="data">{{ JSON.stringify(data) }}</p>
    <p class="error">{{ JSON.stringify(error) }}</p>
  `,
};

export function mount(action, options) {
  createApp({
    components: { Stream },
    setup: () => ({ action, options, isShown }),
    template: `<Stream v-if="isShown" :action="action" :options="options" />`,
  }).mount("#app");
}

export async function unmount() {
  isShown.value = false;
  await nextTick();
}

export const execute = (input) => held.execute(input);
export const stop = () => held.stop();
export const state = () => ({
  chunks: held.chunks.value,
  data: held.data.value,
  status: held.status.value,
  error: held.error.value,
});
