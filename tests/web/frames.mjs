// Cuts a stream at every place; the frames must come out the same. Prints how many cuts there were.
import assert from "node:assert/strict";

const { Frames } = await import(process.argv[2]);
const stream = "retry: 1000\n: hello\n\nid: 1\nevent: text\ndata: {\"a\":\"가\u2028\"}\n\nid:2\r\ndata:x\r\ndata: y\r\n\r\nevent: e\rdata\r\rdata: lost";
const wanted = [
  { id: "1", event: "text", data: '{"a":"가\u2028"}' },
  { id: "2", event: "", data: "x\ny" },
  { id: "2", event: "e", data: "" },
];
for (let cut = 0; cut <= stream.length; cut++) {
  const frames = new Frames();
  assert.deepStrictEqual([...frames.feed(stream.slice(0, cut)), ...frames.feed(stream.slice(cut))], wanted, `cut at ${cut}`);
}
const single = new Frames();
assert.deepStrictEqual([...stream].flatMap((character) => single.feed(character)), wanted);
console.log(stream.length + 1);
