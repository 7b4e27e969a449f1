// Runs our client against the URL given, and prints what it holds in the end, and which callbacks were called.
// The second argument is JSON: {"input": ..., "options": ..., "stopAfter": chunks, "module": what to import}.
const [url, given] = process.argv.slice(2);
const { input, options, stopAfter, module = "../../trio_streamact/browser/streamact.js" } = JSON.parse(given);
const { createStreamAction } = await import(module);

const called = [];
const action = createStreamAction(url, {
  ...options,
  onChunk(chunk) {
    called.push(["chunk", chunk]);
    console.error(`chunk ${called.length}`); // whoever started this may wait for it
    if (called.length === stopAfter) action.stop();
  },
  onDone: (chunks) => called.push(["done", chunks.length]),
  onError: (error) => called.push(["error", error.code]),
});
await action.execute(input);
console.log(JSON.stringify({ ...action.getSnapshot(), called }));
