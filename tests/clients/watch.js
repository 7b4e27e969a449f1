// @ts-check
/** What a person would see of a client, and what its callbacks are told. */

const DEADLINE_MS = 20_000;

/**
 * Wait for *work*, but not for ever.
 *
 * @template T
 * @param {() => Promise<T>} work
 */
export const within = (work) =>
  Promise.race([work(), new Promise((_, reject) => setTimeout(reject, DEADLINE_MS, new Error("too slow")))]);

/**
 * Let the action `/told` send *word*; `end` ends it.
 *
 * @param {string} word
 */
export const say = (word) => fetch(`/say/${word}`, { method: "POST" });

/**
 * Wait until *truth* is told.
 *
 * @param {() => unknown} truth
 */
export async function until(truth) {
  while (!truth()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/**
 * What stands on the page.
 *
 * @param {Element} app
 */
export function look(app) {
  const text = (/** @type {string} */ selector) => app.querySelector(selector)?.textContent ?? null;
  const json = (/** @type {string} */ selector) => JSON.parse(text(selector) ?? "null");
  return {
    status: text(".status"),
    chunks: [...app.querySelectorAll(".chunk")].map((item) => JSON.parse(item.textContent ?? "")),
    data: json(".data"),
    error: json(".error"),
  };
}

/**
 * Keep all that ever stands on the page from now on, state by state, and all that is called.
 *
 * @param {Element} app
 */
export function watch(app) {
  /** @type {ReturnType<typeof look>[]} */
  const seen = [];
  /** @type {[string, unknown][]} */
  const called = [];

  const keep = () => {
    const now = look(app);
    if (now.status !== null && JSON.stringify(now) !== JSON.stringify(seen.at(-1))) seen.push(now);
  };
  new MutationObserver(keep).observe(app, { subtree: true, childList: true, characterData: true });

  /** Options that write down what they are told, and then do what is asked for besides. */
  const told = (/** @type {Record<string, any>} */ options = {}) => ({
    ...options,
    onChunk(/** @type {unknown} */ chunk) {
      called.push(["chunk", chunk]);
      options.onChunk?.(chunk);
    },
    onDone(/** @type {unknown[]} */ chunks) {
      called.push(["done", chunks.length]);
      options.onDone?.(chunks);
    },
    onError(/** @type {{ code: string }} */ error) {
      called.push(["error", error.code]);
      options.onError?.(error);
    },
  });
  return { seen, called, told, look: () => look(app) };
}
