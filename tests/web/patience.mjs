// Reads with client.js what breaks twice after more silence than its patience, then what is gone for good.
import { once } from "node:events";
import { createServer } from "node:http";
const [client] = process.argv.slice(2);
const { Client } = await import(client);
const SILENCE_MS = 400;
let requests = 0;
const server = createServer((request, response) => {
  requests += 1;
  response.writeHead(200, { "Content-Type": "text/event-stream", "Leafstream-Answer": "a" });
  if (requests === 3) return response.end('id: 2\nevent: finished\ndata: {"finish":"stop","value":"ok"}\n\n');
  response.write(requests === 1 ? 'id: 1\nevent: queued\ndata: {"position":3}\n\n' : ":\n\n");
  setTimeout(() => response.destroy(), SILENCE_MS);
});
await once(server.listen(0, "127.0.0.1"), "listening");
const there = new Client(`http://127.0.0.1:${server.address().port}`, { patience: SILENCE_MS / 2 });
const value = await there.ask("pair", "go").result().catch(String);
server.close();
server.closeAllConnections();
const error = await there.follow("a").result().catch((error) => error.code);
console.log(JSON.stringify({ value, requests, error }));
