// Reads a part of an answer, keeps its number and value, and goes on from there as another reader does.
// Prints what was kept, the first number after it, and the value that all events make.
const [client, url, assistant, message] = process.argv.slice(2);
const { Client } = await import(client);
const begun = new Client(url).ask(assistant, { message });
for await (const { number } of begun) if (number >= 10) break;
const kept = JSON.parse(JSON.stringify({ id: begun.id, number: begun.number, value: begun.value }));
const numbers = [];
let value = null;
const answer = new Client(url).follow(kept.id, kept.number, kept.value);
for await (const { number, kind } of answer) {
  numbers.push(number);
  if (kind !== "finished") value = structuredClone(answer.value);
}
console.log(JSON.stringify({ kept: kept.number, held: kept.value, first: numbers[0], value }));
