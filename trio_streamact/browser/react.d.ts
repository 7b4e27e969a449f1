import type {
  InputArguments,
  StreamActionOptions,
  StreamActionReference,
  StreamActionSnapshot,
} from "./streamact.js";

/** The result of `useStreamAction`: the rendered state, and two functions that stay the same. */
export interface UseStreamActionReturn<Input = any, Chunk = any> extends StreamActionSnapshot<Chunk> {
  /**
   * Start a run, and end the run in progress, which then calls no more callbacks. The state is reset.
   *
   * Never rejects. Resolves when this run has ended: done, failed, stopped, or replaced by another run. After the
   * component was unmounted, it does nothing.
   */
  readonly execute: (...input: InputArguments<Input>) => Promise<void>;
  /** End the run in progress at once; the server cancels the handler. Does nothing if there is no run. */
  readonly stop: () => void;
  /** All chunks of the run so far, at the time of this render. If there are more chunks, it is a new array. */
  readonly chunks: readonly Chunk[];
}

/**
 * Call a streaming server action, and render the state of its run. For React 18 and later.
 *
 * The run is stopped when the component is unmounted, or when the path or the method of the action changes. The
 * options are those of the last render.
 *
 * @param reference The action, from the generated module `actions.js`. It contains the types.
 */
export function useStreamAction<Input, Chunk>(
  reference: StreamActionReference<Input, Chunk>,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;

/**
 * Call a streaming server action, and render the state of its run.
 *
 * @param url The action's path or URL.
 */
export function useStreamAction<Input = any, Chunk = any>(
  url: string,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;
