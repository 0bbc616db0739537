// The library of Standard Webhooks signs webhooks, which the host verifies, and verifies those that the host sends.

import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";
import { told } from "./clients.mjs";
import { admin, check, finish, judgeIncoming, receiver, step, until } from "./webhooks.mjs";

function sign(secret, id, text, seconds) {
  return {
    "webhook-id": id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": new Webhook(secret).sign(id, new Date(seconds * 1_000), text),
  };
}

function verified(secret, { headers, body }) {
  try {
    return new Webhook(secret).verify(body, headers);
  } catch (error) {
    return { error: error.message };
  }
}

await judgeIncoming("standard", told.webhooks.standard, sign, { hasTimestamp: true });

// The first attempt fails.
const { url, requests } = await receiver((_, count) => (count === 1 ? 503 : 204));
const endpoint = await admin("POST", "/webhooks/endpoints", { url, topics: ["judged.npm"] });
const data = { text: "žluťoučký 🪑", number: 1.5 };
const publish = () => step({ publish: { topic: "judged.npm", payload: data } });
await publish();
await until("the second attempt", () => requests.length >= 2);
for (const [index, request] of requests.slice(0, 2).entries()) {
  const event = verified(endpoint.secret, request);
  check(`attempt ${index + 1}`, event.type === "judged.npm", event);
  check(`the data of attempt ${index + 1}`, event.data?.text === data.text && event.data?.number === 1.5, event);
  check("the id of the event", event.id === request.headers["webhook-id"], request.headers);
}
const [first, second] = requests;
check("one id for both attempts", first.headers["webhook-id"] === second.headers["webhook-id"], second.headers);
check("one body for both attempts", first.body.equals(second.body), second.body.toString());
const forged = { headers: second.headers, body: second.body.toString().replace("1.5", "2.5") };
check("a changed body", "error" in verified(endpoint.secret, forged), "it was verified");

// While a secret is rotated, the old one and the new one verify.
const rotated = await admin("POST", `/webhooks/endpoints/${endpoint.id}/rotate`, { grace: "1h" });
check("another secret", rotated.secret !== endpoint.secret, "the same secret");
const before = requests.length;
await publish();
await until("the event after the rotation", () => requests.length > before);
for (const secret of [endpoint.secret, rotated.secret]) {
  const event = verified(secret, requests[before]);
  check("a rotated secret", event.type === "judged.npm", event);
}
await admin("DELETE", `/webhooks/endpoints/${endpoint.id}`);
const { version } = JSON.parse(readFileSync("node_modules/standardwebhooks/package.json", "utf8"));
finish(`standardwebhooks ${version} of npm`);
