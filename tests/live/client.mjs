// The client program of a caller: the published stream library, unchanged, in Node. Arguments: base address, key, yes or no.
import { randomUUID } from "node:crypto";

globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
globalThis.window = globalThis;
const { fetchEventSource } = await import("@microsoft/fetch-event-source");

const [base, key, answer] = process.argv.slice(2);
const headers = () => ({
  Authorization: `Bearer ${key}`,
  "Content-Type": "application/json",
  "idempotency-key": randomUUID(),
});
const goal = "Draft and send the weekly team update email.";
const made = await fetch(`${base}/v1/runs`, {
  method: "POST",
  headers: headers(),
  body: JSON.stringify({ input: { goal } }),
});
const { id } = await made.json();
console.log(JSON.stringify({ id }));
const ends = new Set(["run.worker.succeeded", "run.worker.failed", "run.cancelled"]);
const abort = new AbortController();
await fetchEventSource(`${base}/v1/runs/${id}/events/stream`, {
  headers: { Authorization: `Bearer ${key}` },
  signal: abort.signal,
  openWhenHidden: true,
  async onmessage(message) {
    if (message.event !== "run_event" || !message.data) return;
    const { type } = JSON.parse(message.data);
    if (type === "run.awaiting_input") {
      await fetch(`${base}/v1/runs/${id}/signal`, {
        method: "POST",
        headers: headers(),
        body: JSON.stringify({ action: answer === "yes" ? "approve" : "reject" }),
      });
    }
    if (ends.has(type)) {
      console.log(JSON.stringify({ type }));
      abort.abort();
    }
  },
});
