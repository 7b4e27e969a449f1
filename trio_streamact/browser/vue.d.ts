import type { ShallowRef } from "vue";
import type {
  InputArguments,
  StreamActionError,
  StreamActionOptions,
  StreamActionReference,
  StreamStatus,
} from "./streamact.js";

/** What `useStreamAction` gives: two functions, and refs that are shallow and read-only. */
export interface UseStreamActionReturn<Input = any, Chunk = any> {
  /**
   * Begin a run, and end the one in flight, of which nothing more is heard. The state begins anew.
   *
   * Never rejects. Resolves when this run is over: done, failed, stopped, or replaced by another. Once the scope is
   * gone, it does nothing.
   */
  readonly execute: (...input: InputArguments<Input>) => Promise<void>;
  /** End the run in flight, at once; the server cancels its handler. Does nothing when nothing runs. */
  readonly stop: () => void;
  /**
   * All chunks of the run so far. It is one array that grows, and the chunks are as they came, not reactive: a chunk
   * costs the same however many there are. Templates, `computed`, `watchEffect` and `watch(chunks, ...)` follow it.
   */
  readonly chunks: Readonly<ShallowRef<readonly Chunk[]>>;
  /** The latest chunk, or null. */
  readonly data: Readonly<ShallowRef<Chunk | null>>;
  /** Where the run stands. After `stop()` it is `"done"`. */
  readonly status: Readonly<ShallowRef<StreamStatus>>;
  /** What the run has failed with, or null. */
  readonly error: Readonly<ShallowRef<StreamActionError | null>>;
}

/**
 * Call a streaming server action, and hold in refs what has come of it.
 *
 * In a component, or in another effect scope, the run is stopped with the scope. Elsewhere it is yours to stop.
 *
 * @param reference The action, out of the generated module of references; it brings its types.
 */
export function useStreamAction<Input, Chunk>(
  reference: StreamActionReference<Input, Chunk>,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;

/**
 * Call a streaming server action, and hold in refs what has come of it.
 *
 * @param url The action's path or URL.
 */
export function useStreamAction<Input = any, Chunk = any>(
  url: string,
  options?: StreamActionOptions<Chunk>,
): UseStreamActionReturn<Input, Chunk>;
