// Asks before it pays: node ask.js AMOUNT …, compiled beside clients/typescript/countersign.ts.
import { Countersign } from "./countersign.js";

declare const process: { argv: string[] };

const countersign = new Countersign();
for (const amount of process.argv.slice(2).map(Number)) {
  const verdict = await countersign.approve("pay", { amount }, { title: `Pay ${amount} €`, risk: "spend" });
  if (verdict.approved) {
    console.log(`paid ${verdict.params["amount"]}`);
    await countersign.report(verdict.id, "executed");
  } else {
    console.log(`not paid: ${verdict.note}`);
  }
}
