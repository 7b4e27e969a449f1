// What the Node servers share: the payloads, and what a request asks for.

import { setTimeout as sleep } from "node:timers/promises";

export const TEXT = "word ";
export const ENDING = { __actions_done: true };

/** Nanoseconds of the monotonic clock, which all processes of the machine share. */
export const now = () => Number(process.hrtime.bigint());

/** The streams that were cancelled: their ids, and when. */
export const cancelled = [];

export const token = (n) => ({ n, text: TEXT });
export const tick = (n, due) => ({ n, due, sent: now() });

export async function until(due) {
    const pause = (due - now()) / 1e6;
    if (pause > 0) await sleep(pause);
}

/** What a query asks for. */
export function numbers(url) {
    return Object.fromEntries([...new URL(url, "http://server").searchParams].map(([name, value]) => [name, Number(value)]));
}
