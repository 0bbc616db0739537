// Node's fetch.

import { judge, told } from "./clients.mjs";

async function send({ method, path, headers, body }) {
  const response = await fetch(`http://${told.host}:${told.port}${path}`, {
    method,
    headers,
    body,
    signal: AbortSignal.timeout(30_000),
  });
  return { status: response.status, text: await response.text() };
}

await judge(`Node ${process.version}, fetch`, send);
