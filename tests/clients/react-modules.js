/** React as one ES module, made of its CommonJS by esbuild: there is no other that a browser can import. */
export {
  Activity, Fragment, StrictMode, Suspense, createElement, memo, startTransition, use, useCallback, useDeferredValue,
  useEffect, useInsertionEffect, useLayoutEffect, useMemo, useReducer, useRef, useState, useSyncExternalStore,
  useTransition, version,
} from "react";
export { flushSync } from "react-dom";
export { createRoot, hydrateRoot } from "react-dom/client";
export { renderToString } from "react-dom/server.browser";
