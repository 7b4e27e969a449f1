// @ts-check
/**
 * Streaming server actions in Vue 3.
 *
 *     const { execute, stop, chunks, status, error } = useStreamAction(aiChat);
 *
 * What it gives is described in vue.d.ts.
 */
import { getCurrentScope, onScopeDispose, shallowReadonly, shallowRef, triggerRef } from "vue";
import { createStreamAction } from "./streamact.js";

/**
 * @param {any} action A reference or a path: `createStreamAction` knows them apart.
 * @param {import("./streamact.js").StreamActionOptions<any>} [options]
 * @returns {import("./vue.js").UseStreamActionReturn<any, any>}
 */
export function useStreamAction(action, options) {
  const source = createStreamAction(action, options);
  // Shallow, all of them: a deep ref would make a proxy of every chunk that is looked at.
  const chunks = shallowRef(source.chunks);
  const data = shallowRef(source.data);
  const status = shallowRef(source.status);
  const error = shallowRef(source.error);
  let count = 0;

  const unsubscribe = source.subscribe(() => {
    if (chunks.value !== source.chunks) chunks.value = source.chunks;
    else if (count !== source.chunks.length) triggerRef(chunks); // the same array, and it has grown
    count = source.chunks.length;
    data.value = source.data;
    error.value = source.error;
    status.value = source.status;
  });

  let isGone = false;
  if (getCurrentScope()) {
    onScopeDispose(() => {
      isGone = true;
      source.stop();
      unsubscribe();
    });
  }

  return {
    async execute(...input) {
      // Whoever waited for something else, and was left meanwhile, must not begin a stream that nobody would stop.
      if (!isGone) await source.execute(...input);
    },
    stop: source.stop,
    chunks: shallowReadonly(chunks),
    data: shallowReadonly(data),
    status: shallowReadonly(status),
    error: shallowReadonly(error),
  };
}
