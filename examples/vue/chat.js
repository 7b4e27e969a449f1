import { computed, ref } from "vue";
import { aiChat } from "/api/_actions/_client/actions.js";
import { useStreamAction } from "/api/_actions/_client/vue.js";

/** A prompt, and the words of its answer as they arrive. */
export const Chat = {
  setup() {
    const { execute, stop, chunks, status, error } = useStreamAction(aiChat);
    const prompt = ref("How does streaming work?");
    const isRunning = computed(() => status.value === "streaming");
    const aboutPrompt = computed(() => error.value?.fieldErrors?.prompt?.join(". "));

    function submit() {
      if (isRunning.value) stop();
      else execute({ prompt: prompt.value });
    }

    return { prompt, submit, stop, chunks, isRunning, error, aboutPrompt };
  },

  template: `
    <section class="panel" aria-labelledby="chat" @keydown.esc="stop">
      <h2 id="chat">Chat</h2>
      <form novalidate @submit.prevent="submit">
        <label class="unseen" for="prompt">Your prompt</label>
        <input id="prompt" v-model="prompt" placeholder="Write a prompt" autocomplete="off" enterkeyhint="send"
          :aria-invalid="aboutPrompt ? true : undefined" aria-describedby="problem">
        <button :class="{ stop: isRunning }">{{ isRunning ? "Stop" : "Send" }}</button>
      </form>
      <p v-if="error" id="problem" class="alert" role="alert">
        {{ aboutPrompt ?? error.message }} <code>{{ error.code }}</code>
      </p>
      <p v-if="isRunning || chunks.length" class="answer" aria-live="polite" :aria-busy="isRunning">
        <span v-for="(chunk, index) in chunks" :key="index">{{ chunk.text }}</span>
      </p>
    </section>
  `,
};
