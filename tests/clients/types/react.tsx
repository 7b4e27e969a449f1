// A component in React that uses what the server has generated; what the compiler must take as it stands.
import { useEffect, type ReactNode } from "react";
import { useStreamAction } from "trio-streamact/react";
import { aiChat, countDown } from "./actions.js";

export function Chat({ prompt }: { prompt: string }): ReactNode {
  const { execute, stop, chunks, data, status, error } = useStreamAction(aiChat, {
    headers: async () => ({ Authorization: "Bearer token" }),
    onChunk: (chunk) => chunk.text.toUpperCase(),
    onDone: (all) => all[0]?.text,
    onError: (told) => told.code,
  });
  useEffect(() => {
    void execute({ prompt });
    return stop;
  }, [execute, prompt, stop]);
  if (error) return <p role="alert">{error.message}</p>;
  return (
    <p aria-busy={status === "streaming"} title={data?.text}>
      {chunks.map(({ text }, index) => (
        <span key={index}>{text}</span>
      ))}
    </p>
  );
}

export function Countdown(): ReactNode {
  const { execute, data } = useStreamAction(countDown);
  const byPath = useStreamAction<{ page: number }, { title: string }>("/pages");
  return (
    <button onClick={() => void execute()}>
      {data?.toFixed()} {byPath.data?.title}
    </button>
  );
}
