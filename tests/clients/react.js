/** A component that calls an action, in a root that can take it away again. */
import { Fragment, StrictMode, createElement as h, useLayoutEffect } from "react";
import { createRoot, flushSync } from "react-dom";
import { useStreamAction } from "/api/_actions/_client/react.js";

const root = createRoot(document.querySelector("#app"));
const Mode = asked.has("strict") ? StrictMode : Fragment;
/** What the component was given when it was rendered last. */
let given;

export function Stream({ action, options }) {
  const stream = useStreamAction(action, options);
  useLayoutEffect(() => {
    given = stream;
  });
  return [
    h("p", { key: "status", className: "status" }, stream.status),
    stream.chunks.map((chunk, index) => h("p", { key: index, className: "chunk" }, JSON.stringify(chunk))),
    h("p", { key: "data", className: "data" }, JSON.stringify(stream.data)),
    h("p", { key: "error", className: "error" }, JSON.stringify(stream.error)),
  ];
}

export function mount(action, options) {
  show(h(Stream, { action, options }));
}

export function unmount() {
  show(null);
}

export function show(element) {
  flushSync(() => root.render(h(Mode, null, element)));
}

export const held = () => given;
export const execute = (input) => given.execute(input);
export const stop = () => given.stop();
export const state = () => ({ status: given.status, chunks: given.chunks, data: given.data, error: given.error });
