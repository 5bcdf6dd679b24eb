// Follows an answer from after a number with client.js: prints the numbers, and how `result` fails.
const [client, url, id, after] = process.argv.slice(2);
const { Client } = await import(client);
const answer = new Client(url).follow(id, Number(after));
const numbers = [];
for await (const { number } of answer) numbers.push(number);
const error = await answer.result().catch((error) => error.code);
console.log(JSON.stringify({ numbers, end: answer.end, error }));
