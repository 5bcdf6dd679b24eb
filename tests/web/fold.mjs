// Folds the golden events with client.js; fails where a value differs, prints how many cases it took.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const [client, golden] = process.argv.slice(2);
const { Fold } = await import(client);
const cases = readFileSync(golden, "utf8").trim().split("\n").map((line) => JSON.parse(line));
for (const { name, steps } of cases) {
  const fold = new Fold();
  const before = structuredClone(steps);
  for (const { event, value, error } of steps) {
    if (error) assert.throws(() => fold.apply(event), RangeError, name);
    else fold.apply(event);
    if (!error) assert.deepStrictEqual(fold.value, value, name);
  }
  assert.deepStrictEqual(steps, before, `${name}: an event was changed`);
}
console.log(cases.length);
