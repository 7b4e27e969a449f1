import type {
  InputArguments,
  StreamActionOptions,
  StreamActionReference,
  StreamActionSnapshot,
} from "./streamact.js";

/** What `useStreamAction` gives: the state as it is rendered, and two functions that stay the same. */
export interface UseStreamActionReturn<Input = any, Chunk = any> extends StreamActionSnapshot<Chunk> {
  /**
   * Begin a run, and end the one in flight, of which nothing more is heard. The state begins anew.
   *
   * Never rejects. Resolves when this run is over: done, failed, stopped, or replaced by another. Once the component
   * is gone, it does nothing.
   */
  readonly execute: (...input: InputArguments<Input>) => Promise<void>;
  /** End the run in flight, at once; the server cancels its handler. Does nothing when nothing runs. */
  readonly stop: () => void;
  /** All chunks of the run so far, as they were at this render: a new array whenever there are more. */
  readonly chunks: readonly Chunk[];
}

/**
 * Call a streaming server action, and render what has come of it. For React 18 and later.
 *
 * The run is stopped when the component goes away, or when the action's path or method is another one. Of the options
 * those of the last render count.
 *
 * @param reference The action, out of the generated module of references; it brings its types.
 */
export function useStreamAction<Input, Chunk>(
  reference: StreamActionReference<Input, Chunk>,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;

/**
 * Call a streaming server action, and render what has come of it.
 *
 * @param url The action's path or URL.
 */
export function useStreamAction<Input = any, Chunk = any>(
  url: string,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;
