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
 * Call a streaming server action, and render what has come of it.
 *
 * The run ends with the component. The options are those of the last render, and the state begins anew when the action's
 * path or method is another one.
 *
 * @param {string | Reference} action
 * @param {Options} [options]
 * @returns {import("./react.js").UseStreamActionReturn<any, any>}
 */
export function useStreamAction(action, options = {}) {
  const latest = useRef(options);
  useInsertionEffect(() => {
    latest.current = options; // behind the render, which may be thrown away, and before any effect that may execute
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
 * Make the one source of a component: it is stopped once nobody watches it any more.
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
        // StrictMode takes a component down and puts it back at once, which must not end a run.
        queueMicrotask(() => {
          if (watchers > 0) return;
          isOver = true;
          source.stop();
        });
      };
    },

    /** @param {unknown} [input] */
    async execute(input) {
      // Whoever waited for something else, and has been left meanwhile, must not start a stream that nobody will stop.
      if (!isOver) await source.execute(input);
    },
  };
}

/**
 * Give options that are always those of the last render.
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
 * Make what a component is given of *snapshot*.
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
    // The source's array grows in place, and React takes the same array for no change: in `memo`, in a list of
    // dependencies, and wherever its compiler looks. Whoever does not ask for the chunks does not pay for the copy.
    get chunks() {
      return (copy ??= chunks.slice(0, count));
    },
    data,
    status,
    error,
  };
}
