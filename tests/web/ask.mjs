// Asks with client.js: prints the numbers and kinds of the events, and the value at the end.
const [client, url, assistant, message] = process.argv.slice(2);
const { Client } = await import(client);
const answer = new Client(url).ask(assistant, { message });
const numbers = [];
try {
  for await (const { number } of answer) numbers.push(number);
  console.log(JSON.stringify({ numbers, end: answer.end.kind, value: answer.value }));
} catch (error) {
  console.log(JSON.stringify({ numbers, error: error.code, status: error.status, param: error.param }));
}
