// The shared code of the scripts for webhooks: it sends webhooks to the plugin, sees what became of them, and receives
// the host's own.

import { createServer } from "node:http";
import { told } from "./clients.mjs";

const PUBLIC = `http://${told.host}:${told.port}`;
const ADMIN = `http://${told.admin.host}:${told.admin.port}/api/v1/tenants/${told.admin.tenant}`;

let checks = 0;
let wrong = 0;

/** Notes a check, and complains if it failed. */
export function check(what, good, seen) {
  checks += 1;
  if (good) return;
  wrong += 1;
  console.log(`${what}: ${typeof seen === "string" ? seen : JSON.stringify(seen)}`);
}

/** Prints a summary, and ends the process. */
export function finish(name) {
  console.log(`${name}: ${checks} checks, ${wrong} wrong`);
  process.exit(wrong === 0 ? 0 : 1);
}

/** A body whose job writes `key`. The blanks and the letters show that the signature covers the bytes as they are sent. */
export function body(id, key) {
  const insert = { execute: "INSERT INTO effects (key) VALUES ($1)", params: [key] };
  return JSON.stringify({ id, object: "event", type: "tested", note: "žluťoučký 🪑", do: [insert] }, null, 3);
}

/** Sends a webhook, and answers its status. */
export async function deliver(path, headers, text) {
  const response = await fetch(PUBLIC + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: text,
    signal: AbortSignal.timeout(30_000),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Lets the plugin do one step. */
export async function step(wanted) {
  const response = await fetch(PUBLIC + told.plugin, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ do: [wanted] }),
    signal: AbortSignal.timeout(30_000),
  });
  const [result] = await response.json();
  if (result.error) throw new Error(result.error);
  return result.ok;
}

/** How often jobs have written `key`. */
export async function effects(key) {
  const rows = await step({ query: "SELECT COUNT(*) FROM effects WHERE key = $1", params: [key] });
  return rows[0][0];
}

/** A request to the admin API. */
export async function admin(method, path, json) {
  const response = await fetch(ADMIN + path, {
    method,
    headers: { authorization: `Bearer ${told.admin.token}`, "content-type": "application/json" },
    body: json === undefined ? undefined : JSON.stringify(json),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status}: ${text}`);
  return text ? JSON.parse(text) : null;
}

/** Asks until the answer is not false. */
export async function until(what, ask) {
  for (let begin = Date.now(); Date.now() - begin < 60_000; ) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what} did not happen within 60 s`);
}

/**
 * Sends webhooks that are right, repeated, changed, signed by another secret, too old and too early.
 * `sign(secret, id, text, seconds)` gives the headers.
 */
export async function judgeIncoming(name, { path, secrets, foreign }, sign, { hasTimestamp }) {
  const now = () => Math.floor(Date.now() / 1000);
  const key = (what) => `${name}: ${what}`;
  for (const [index, secret] of secrets.entries()) {
    const id = `${name}-secret-${index}`;
    const text = body(id, key(id));
    const status = await deliver(path, await sign(secret, id, text, now()), text);
    check(`secret ${index} of ${secrets.length}`, status === 200, status);
    const again = await deliver(path, await sign(secret, id, text, now()), text);
    check(`secret ${index}, repeated`, again === 200, again);
    await until(`the job of ${id}`, async () => (await effects(key(id))) > 0);
    check(`secret ${index}, effects`, (await effects(key(id))) === 1, await effects(key(id)));
  }
  const refused = [
    ["another secret", foreign, now(), (text) => text],
    ["a changed body", secrets[0], now(), (text) => text.replace("tested", "forged")],
  ];
  if (hasTimestamp) {
    refused.push(["an hour late", secrets[0], now() - 3_600, (text) => text]);
    refused.push(["an hour early", secrets[0], now() + 3_600, (text) => text]);
  }
  for (const [what, secret, at, change] of refused) {
    const id = `${name}-${what.replaceAll(" ", "-")}`;
    const text = body(id, key(what));
    const status = await deliver(path, await sign(secret, id, text, at), change(text));
    check(what, status === 400, status);
    check(`${what}, effects`, (await effects(key(what))) === 0, "a job ran");
  }
  const unsigned = await deliver(path, {}, body(`${name}-unsigned`, key("unsigned")));
  check("no signature", unsigned === 400, unsigned);
}

/** A receiver of the host's webhooks; `answer(request)` gives a status. */
export async function receiver(answer) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const seen = { headers: request.headers, body: Buffer.concat(parts) };
    requests.push(seen);
    response.statusCode = answer(seen, requests.length);
    response.end();
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}/hook`, requests };
}
