// What Vercel's AI SDK makes of a server through its OpenAI-compatible provider: prints JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, Output, streamObject, streamText } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "leafstream",
  baseURL: `${process.argv[2]}/v1`,
  apiKey: "none",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const schema = z.object({ title: z.string(), count: z.int() });
const ask = { model: provider("scripted"), prompt: "go", maxRetries: 0 };
const found = {};

const streamed = streamText({ ...ask, model: provider("chat") });
found.text = "";
for await (const piece of streamed.textStream) found.text += piece;
found.finish = await streamed.finishReason;
found.usage = (await streamed.usage).outputTokens;

const growing = streamText({ ...ask, output: Output.object({ schema }) });
found.titles = [];
for await (const partial of growing.partialOutputStream) found.titles.push(partial.title ?? null);
found.streamedObject = await growing.output;

found.object = (await generateText({ ...ask, output: Output.object({ schema }) })).output;

const old = streamObject({ ...ask, schema });
for await (const _ of old.partialObjectStream);
found.oldStreamed = await old.object;
found.oldObject = (await generateObject({ ...ask, schema })).object;

try {
  await generateText({ ...ask, model: provider("none") });
} catch (error) {
  found.missing = [APICallError.isInstance(error), error.statusCode, error.message];
}

console.log(JSON.stringify(found));
