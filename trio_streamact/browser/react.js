// @ts-check
/**
 * Streaming server actions in React 18 and later.
 *
 *     const { execute, stop, chunks, status, error } = useStreamAction(aiChat);
 */
import { useInsertionEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { createStreamAction } from "./streamact.js";

/** @typedef {import("./streamact.js").StreamActionReference<any, any>} Reference */
/** @typedef {import("./streamact.js").StreamActionOptions<any>} Options */

/**
 * Call a streaming server action, and render the state of its run.
 *
 * The run is stopped when the component is unmounted. The options are those of the last render. If the path or the
 * method of the action changes, the state is reset.
 *
 * @param {string | Reference} action
 * @param {Options} [options]
 * @returns {import("./react.js").UseStreamActionReturn<any, any>}
 */
export function useStreamAction(action, options = {}) {
  const latest = useRef(options);
  useInsertionEffect(() => {
    // After the render, because React may discard a render; and before any effect that may call `execute`.
    latest.current = options;
  });

  const path = typeof action === "string" ? action : action.path;
  const method = (typeof action === "string" ? options.method : action.method) ?? "POST";
  const [kept, keep] = useState(() => open(path, method, latest));
  let run = kept;
  if (kept.path !== path || kept.method !== method) {
    run = open(path, method, latest);
    keep(run);
  }

  const snapshot = useSyncExternalStore(run.subscribe, run.getSnapshot, run.getSnapshot);
  return useMemo(() => rendered(run, snapshot), [run, snapshot]);
}

/**
 * Create the stream action of a component. It is stopped when its last listener was removed.
 *
 * @param {string} path
 * @param {string} method
 * @param {{ readonly current: Options }} latest
 */
function open(path, method, latest) {
  const source = createStreamAction({ path, method }, upToDate(latest));
  let watchers = 0;
  let isOver = false;
  return {
    path,
    method,
    getSnapshot: source.getSnapshot,
    stop: source.stop,

    /** @param {() => void} listener */
    subscribe(listener) {
      const unsubscribe = source.subscribe(listener);
      watchers += 1;
      isOver = false;
      return () => {
        unsubscribe();
        watchers -= 1;
        // StrictMode unmounts a component and mounts it again at once. This must not end a run.
        queueMicrotask(() => {
          if (watchers > 0) return;
          isOver = true;
          source.stop();
        });
      };
    },

    /** @param {unknown} [input] */
    async execute(input) {
      // A caller may have awaited something else while the component was unmounted. Nothing would stop a stream that
      // it starts now.
      if (!isOver) await source.execute(input);
    },
  };
}

/**
 * Return options that always have the values of the last render.
 *
 * @param {{ readonly current: Options }} latest
 * @returns {Options}
 */
function upToDate(latest) {
  return {
    get headers() {
      return latest.current.headers;
    },
    get followRedirects() {
      return latest.current.followRedirects;
    },
    get timeout() {
      return latest.current.timeout;
    },
    get watchdogS() {
      return latest.current.watchdogS;
    },
    get maxEventBytes() {
      return latest.current.maxEventBytes;
    },
    onChunk: (chunk) => latest.current.onChunk?.(chunk),
    onDone: (chunks) => latest.current.onDone?.(chunks),
    onError: (error) => latest.current.onError?.(error),
  };
}

/**
 * Return the value that a component receives for *snapshot*.
 *
 * @param {ReturnType<typeof open>} run
 * @param {import("./streamact.js").StreamActionSnapshot<any>} snapshot
 */
function rendered({ execute, stop }, { chunks, data, status, error }) {
  const count = chunks.length;
  /** @type {readonly any[] | undefined} */
  let copy;
  return {
    execute,
    stop,
    // The array of the source grows in place. For React, the same array means no change: in `memo`, in a list of
    // dependencies, and in its compiler. So return a copy, made only if the component reads the chunks.
    get chunks() {
      return (copy ??= chunks.slice(0, count));
    },
    data,
    status,
    error,
  };
}
