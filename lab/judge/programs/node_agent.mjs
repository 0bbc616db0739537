// Node's http.Agent with one kept-alive connection.

import http from "node:http";
import { judge, told } from "./clients.mjs";

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function send({ method, path, headers, body }) {
  return new Promise((resolve, reject) => {
    const options = {
      agent,
      host: told.host,
      port: told.port,
      method,
      path,
      headers: { ...headers, "content-length": body.length },
      timeout: 30_000,
    };
    const request = http.request(options, (response) => {
      const pieces = [];
      response.on("data", (piece) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode, text: Buffer.concat(pieces).toString() }),
      );
    });
    request.on("timeout", () => request.destroy(new Error("no answer in 30 s")));
    request.on("error", reject);
    request.end(body);
  });
}

await judge(`Node ${process.version}, http.Agent`, send);
