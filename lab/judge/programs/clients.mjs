// The shared code of the scripts for Node: the requests to send, and the count of lost responses.

import { readFileSync } from "node:fs";

export const told = JSON.parse(readFileSync("told.json", "utf8"));

/** Sends each refused request and then a good one by `send`, and ends the process with what was lost. */
export async function judge(name, send) {
  let sent = 0;
  let lost = 0;
  async function expect(status, what, request) {
    sent += 1;
    try {
      const answer = await send(request);
      if (answer.status === status) return;
      lost += 1;
      console.log(`${what}: ${answer.status} instead of ${status}: ${answer.text.slice(0, 200)}`);
    } catch (error) {
      lost += 1;
      console.log(`${what}: ${error.cause?.code ?? error.code ?? error.message}`);
    }
  }
  for (const one of told.cases) {
    const body = Buffer.alloc(one.size, "a");
    for (let round = 0; round < one.rounds; round += 1) {
      await expect(one.status, one.name, { ...one, body });
      await expect(200, `the request after: ${one.name}`, {
        method: "POST",
        path: told.open,
        headers: { "content-type": "text/plain" },
        body: Buffer.from("good"),
      });
    }
  }
  console.log(`${name}: ${sent} requests, ${lost} lost`);
  process.exit(lost === 0 ? 0 : 1);
}
