// Cancels an answer before the server has replied, with client.js: prints how it ends.
import { once } from "node:events";
import { createServer } from "node:http";
const [client] = process.argv.slice(2);
const { Client } = await import(client);
const server = createServer(() => answer.cancel());
await once(server.listen(0, "127.0.0.1"), "listening");
const there = new Client(`http://127.0.0.1:${server.address().port}`);
let answer = there.ask("pair", "go");
let num = 0;
for await (const _ of answer) num += 1;
answer = there.ask("pair", "go");
const error = await answer.result().catch(({ name, code }) => ({ name, code }));
server.close();
server.closeAllConnections();
console.log(JSON.stringify({ num, error }));
