// Octokit's library signs webhooks as GitHub does, and the host verifies them.

import { readFileSync } from "node:fs";
import { Webhooks } from "@octokit/webhooks";
import { told } from "./clients.mjs";
import { finish, judgeIncoming } from "./webhooks.mjs";

async function sign(secret, id, text) {
  const signature = await new Webhooks({ secret }).sign(text);
  return { "x-hub-signature-256": signature, "x-github-delivery": id, "x-github-event": "push" };
}

await judgeIncoming("github", told.webhooks.github, sign, { hasTimestamp: false });
const { version } = JSON.parse(readFileSync("node_modules/@octokit/webhooks/package.json", "utf8"));
finish(`@octokit/webhooks ${version}`);
