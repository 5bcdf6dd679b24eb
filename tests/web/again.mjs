// Reads with client.js from a server that behaves in one way at every request; prints how that ends.
import { once } from "node:events";
import { createServer } from "node:http";
const [client, behaviour] = process.argv.slice(2);
const { Client } = await import(client);
const STREAM = { "Content-Type": "text/event-stream", "Leafstream-Answer": "a" };
const FINISHED = 'id: 1\nevent: finished\ndata: {"finish":"stop","value":"ok"}\n\n';
const FAILED = 'id: 1\nevent: failed\ndata: {"code":"engine_unavailable","status":503,"message":"busy","retry_after":7.5}\n\n';
const times = [];
const behaviours = {
  breaks: (response) => response.writeHead(200, STREAM).write(":\n\n", () => response.destroy()),
  "hangs up": (response) => response.writeHead(200, STREAM).end(":\n\n"),
  "asks to wait": (response) =>
    times.length === 1
      ? response.writeHead(503, { "Retry-After": "1" }).end()
      : response.writeHead(200, STREAM).end(FINISHED),
  "asks for patience": (response) => response.writeHead(429, { "Retry-After": "60" }).end(),
  fails: (response) => response.writeHead(200, STREAM).end(FAILED),
};
const server = createServer((_, response) => {
  times.push(Date.now());
  behaviours[behaviour](response);
});
await once(server.listen(0, "127.0.0.1"), "listening");
const there = new Client(`http://127.0.0.1:${server.address().port}`, { patience: 2000 });
const told = await there
  .follow("a")
  .result()
  .then((value) => ({ value }))
  .catch(({ code, retryAfter }) => ({ code, retryAfter }));
server.close();
server.closeAllConnections();
console.log(JSON.stringify({ ...told, requests: times.length, waited: (times[1] ?? 0) - times[0] }));
