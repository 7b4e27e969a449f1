import { computed, ref } from "vue";
import { processFiles } from "/api/_actions/_client/actions.js";
import { useStreamAction } from "/api/_actions/_client/vue.js";
import { BROKEN, FILES } from "/static/files.js";

const NOTHING = { file: "", done: 0, total: FILES.length, percent: 0 };

/** The progress of a job. Only the latest chunk is needed. */
export const Progress = {
  setup() {
    const wasStopped = ref(false);
    const hasBroken = ref(false);
    const { execute, stop, data, status, error } = useStreamAction(processFiles);
    const isRunning = computed(() => status.value === "streaming");
    const progress = computed(() => data.value ?? NOTHING);

    const state = computed(() => {
      const { file, done, total } = progress.value;
      if (status.value === "idle") return "Ready";
      if (isRunning.value) return file || "Starting";
      if (status.value === "error") return `Failed: ${done} of ${total} files are done`;
      return wasStopped.value ? `Stopped: ${done} of ${total} files are done` : `All ${total} files are done`;
    });

    function press() {
      wasStopped.value = isRunning.value;
      if (isRunning.value) stop();
      else execute({ files: hasBroken.value ? FILES.with(6, BROKEN) : FILES });
    }

    return { press, hasBroken, progress, isRunning, state, error };
  },

  template: `
    <section class="panel" aria-labelledby="progress">
      <h2 id="progress">Progress</h2>
      <div class="row">
        <div>
          <output aria-hidden="true">{{ progress.percent }} %</output>
          <p role="status">{{ state }}</p>
        </div>
        <button :class="{ stop: isRunning }" @click="press">{{ isRunning ? "Stop" : "Start" }}</button>
      </div>
      <progress max="100" :value="progress.percent" aria-label="Files processed"></progress>
      <label class="option">
        <input v-model="hasBroken" type="checkbox" :disabled="isRunning"> Put a broken file among them
      </label>
      <p v-if="error" class="alert" role="alert">{{ error.message }} <code>{{ error.code }}</code></p>
    </section>
  `,
};
