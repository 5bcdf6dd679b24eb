// What OpenAI's own JavaScript client makes of a server: prints one JSON object.
import OpenAI, { BadRequestError, NotFoundError } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "go" }];
const Pair = z.object({ title: z.string(), count: z.int() });
const found = {};

found.models = (await client.models.list()).data.map((model) => model.id);

let text = "";
for await (const chunk of await client.chat.completions.create({
  model: "pair",
  messages,
  stream: true,
  stream_options: { include_usage: true },
})) {
  text += chunk.choices[0]?.delta.content ?? "";
  if (chunk.usage) found.usage = chunk.usage.total_tokens;
}
found.chat = text;

const completion = await client.chat.completions.parse({
  model: "scripted",
  messages,
  response_format: zodResponseFormat(Pair, "pair"),
});
found.parsed = completion.choices[0].message.parsed;

const stream = client.responses.stream({
  model: "scripted",
  input: "go",
  text: { format: zodTextFormat(Pair, "pair") },
});
found.types = [];
for await (const event of stream) found.types.push(event.type);
const response = await stream.finalResponse();
found.response = response.output_parsed;

found.resumed = "";
for await (const event of await client.responses.retrieve(response.id, {
  stream: true,
  starting_after: 5,
})) {
  if (event.type === "response.output_text.done") found.resumed = event.text;
}

found.items = (await client.responses.inputItems.list(response.id)).data.map(({ role, content }) => [
  role,
  content[0].text,
]);
await client.responses.delete(response.id);
found.deleted = await client.responses.retrieve(response.id).catch((error) => error.status);

const begun = await client.responses.create({ model: "chat", input: "go", background: true });
found.cancelled = (await client.responses.cancel(begun.id)).status;

for (const [name, wish, kind] of [
  ["refused", { n: 2 }, BadRequestError],
  ["missing", { model: "none" }, NotFoundError],
]) {
  try {
    await client.chat.completions.create({ model: "chat", messages, ...wish });
  } catch (error) {
    found[name] = [error instanceof kind, error.param];
  }
}

console.log(JSON.stringify(found));
