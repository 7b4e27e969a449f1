import type { ShallowRef } from "vue";
import type {
  InputArguments,
  StreamActionError,
  StreamActionOptions,
  StreamActionReference,
  StreamStatus,
} from "./streamact.js";

/** The result of `useStreamAction`: two functions, and refs that are shallow and read-only. */
export interface UseStreamActionReturn<Input = any, Chunk = any> {
  /**
   * Start a run, and end the run in progress, which then calls no more callbacks. The state is reset.
   *
   * Never rejects. Resolves when this run has ended: done, failed, stopped, or replaced by another run. After the
   * scope was disposed, it does nothing.
   */
  readonly execute: (...input: InputArguments<Input>) => Promise<void>;
  /** End the run in progress at once; the server cancels the handler. Does nothing if there is no run. */
  readonly stop: () => void;
  /**
   * All chunks of the run so far. It is one array, which grows in place, and its chunks are not reactive. So the cost
   * of a chunk stays the same. Templates, `computed`, `watchEffect` and `watch(chunks, ...)` react to new chunks.
   */
  readonly chunks: Readonly<ShallowRef<readonly Chunk[]>>;
  /** The latest chunk, or null. */
  readonly data: Readonly<ShallowRef<Chunk | null>>;
  /** The status of the run. After `stop()` it is `"done"`. */
  readonly status: Readonly<ShallowRef<StreamStatus>>;
  /** The error of the run, or null. */
  readonly error: Readonly<ShallowRef<StreamActionError | null>>;
}

/**
 * Call a streaming server action, and keep the state of its run in refs.
 *
 * In a component or another effect scope, the run is stopped when the scope is disposed. Elsewhere, the caller must
 * stop it.
 *
 * @param reference The action, from the generated module `actions.js`. It contains the types.
 */
export function useStreamAction<Input, Chunk>(
  reference: StreamActionReference<Input, Chunk>,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;

/**
 * Call a streaming server action, and keep the state of its run in refs.
 *
 * @param url The action's path or URL.
 */
export function useStreamAction<Input = any, Chunk = any>(
  url: string,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;
