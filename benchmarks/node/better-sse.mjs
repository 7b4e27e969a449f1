// better-sse on Node's own HTTP server.

import { createServer } from "node:http";

import { createSession } from "better-sse";

import { ENDING, cancelled, now, numbers, tick, token, until } from "./common.mjs";

async function burst(request, response, asked) {
    const session = await createSession(request, response);
    await until(asked.start);
    for (let n = 0; n < asked.events; n++) session.push(token(n));
    session.push(ENDING);
    response.end();
}

async function ticks(request, response, asked) {
    const session = await createSession(request, response);
    for (let n = 0; n < asked.events; n++) {
        const due = asked.start + n * asked.every;
        await until(due);
        session.push(tick(n, due));
    }
    session.push(ENDING);
    response.end();
}

async function hold(request, response, asked) {
    const session = await createSession(request, response);
    session.once("disconnected", () => cancelled.push([asked.id, now()]));
    session.push(token(0));
}

const routes = { "/burst": burst, "/ticks": ticks, "/hold": hold };

const server = createServer((request, response) => {
    const path = request.url.split("?")[0];
    if (path === "/cancelled") {
        response.end(JSON.stringify(cancelled));
        return;
    }
    // A client that leaves in the middle of a burst is none of the server's faults.
    routes[path](request, response, numbers(request.url)).catch(() => response.destroy());
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 2048 }, () => console.log(`http://127.0.0.1:${server.address().port}`));
