// A model inside a service: trained at the start, asked over HTTP while the thread stays free, stopped by a signal.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { train } from "athanor";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());

const server = createServer(async (request, response) => {
  response.setHeader("content-type", "application/json");
  try {
    const text = new URL(request.url ?? "/", "http://localhost").searchParams.get("text") ?? "";
    response.end(JSON.stringify(await (await model).predict(text))); // asked early, the answer waits for the training
  } catch (error) {
    response.statusCode = 400; // an address such as `//` is none
    response.end(JSON.stringify({ error: String(error) }));
  }
});
stop.signal.addEventListener("abort", () => server.close());
server.listen(Number(process.env.PORT ?? 0));
await once(server, "listening"); // a port that is taken ends the program here, before any training

const texts = ["good", "fine", "lovely", "great"].flatMap((word) => [
  { text: `what a ${word} day`, mood: "up" },
  { text: `not a ${word} day at all`, mood: "down" },
]);
const model = train(
  {
    data: { rows: texts, target: "mood", heldOut: 0.25 },
    model: { textClassifier: { context: 32 } },
    batch: { size: 4 },
    steps: Number(process.env.STEPS ?? 60),
  },
  { signal: stop.signal },
);
await model;
console.log(`listening on ${(server.address() as AddressInfo).port}`);
