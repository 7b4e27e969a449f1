// h3, which nuxt-actions is built on, with its event streams.

import { H3, createEventStream, serve } from "h3";

import { ENDING, cancelled, numbers, tick, token, until, now } from "./common.mjs";

const app = new H3();
const push = (stream, payload) => stream.push({ data: JSON.stringify(payload) });

app.get("/burst", (event) => {
    const stream = createEventStream(event);
    const asked = numbers(event.req.url);
    (async () => {
        await until(asked.start);
        for (let n = 0; n < asked.events; n++) await push(stream, token(n));
        await push(stream, ENDING);
        await stream.close();
    })();
    return stream.send();
});

app.get("/ticks", (event) => {
    const stream = createEventStream(event);
    const asked = numbers(event.req.url);
    (async () => {
        for (let n = 0; n < asked.events; n++) {
            const due = asked.start + n * asked.every;
            await until(due);
            await push(stream, tick(n, due));
        }
        await push(stream, ENDING);
        await stream.close();
    })();
    return stream.send();
});

app.get("/hold", (event) => {
    const stream = createEventStream(event);
    const { id } = numbers(event.req.url);
    stream.onClosed(() => cancelled.push([id, now()]));
    push(stream, token(0));
    return stream.send();
});

app.get("/cancelled", () => cancelled);

const server = serve(app, { port: 0, hostname: "127.0.0.1", silent: true });
await server.ready();
console.log(server.url);
