// @ts-check
/**
 * Streaming server actions in Vue 3.
 *
 *     const { execute, stop, chunks, status, error } = useStreamAction(aiChat);
 *
 * vue.d.ts documents the result.
 */
import { getCurrentScope, onScopeDispose, shallowReadonly, shallowRef, triggerRef } from "vue";
import { createStreamAction } from "./streamact.js";

/**
 * @param {any} action A reference or a path.
 * @param {import("./streamact.js").StreamActionOptions<any>} [options]
 * @returns {import("./vue.js").UseStreamActionReturn<any, any>}
 */
export function useStreamAction(action, options) {
  const source = createStreamAction(action, options);
  // All refs are shallow: a deep ref would create a proxy for every chunk that is read.
  const chunks = shallowRef(source.chunks);
  const data = shallowRef(source.data);
  const status = shallowRef(source.status);
  const error = shallowRef(source.error);
  let count = 0;

  const unsubscribe = source.subscribe(() => {
    if (chunks.value !== source.chunks) chunks.value = source.chunks;
    else if (count !== source.chunks.length) triggerRef(chunks); // the same array with more chunks
    count = source.chunks.length;
    data.value = source.data;
    error.value = source.error;
    status.value = source.status;
  });

  let isDisposed = false;
  if (getCurrentScope()) {
    onScopeDispose(() => {
      isDisposed = true;
      source.stop();
      unsubscribe();
    });
  }

  return {
    async execute(...input) {
      // A caller may have awaited something else while the scope was disposed. Nothing would stop a stream that it
      // starts now.
      if (!isDisposed) await source.execute(...input);
    },
    stop: source.stop,
    chunks: shallowReadonly(chunks),
    data: shallowReadonly(data),
    status: shallowReadonly(status),
    error: shallowReadonly(error),
  };
}
