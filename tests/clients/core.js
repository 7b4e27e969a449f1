/** The core by hand: a page of its own that follows `subscribe`. */
import { createStreamAction } from "/api/_actions/_client/streamact.js";

const app = /** @type {HTMLElement} */ (document.querySelector("#app"));
/** @type {ReturnType<typeof createStreamAction<any, any>>} */
let source;
let unsubscribe = () => {};

export function mount(action, options) {
  source = createStreamAction(action, options);
  unsubscribe = source.subscribe(show);
  show();
}

/** A page without a framework says itself that it is done with a run. */
export function unmount() {
  unsubscribe();
  source.stop();
  app.replaceChildren();
}

export const execute = (input) => source.execute(input);
export const stop = () => source.stop();
export const state = () => ({ chunks: source.chunks, data: source.data, status: source.status, error: source.error });

function show() {
  const { status, chunks, data, error } = source.getSnapshot();
  app.replaceChildren(
    element("p", "status", status),
    ...chunks.map((chunk) => element("p", "chunk", JSON.stringify(chunk))),
    element("p", "data", JSON.stringify(data)),
    element("p", "error", JSON.stringify(error)),
  );
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
