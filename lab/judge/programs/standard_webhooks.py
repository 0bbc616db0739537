"""The library of Standard Webhooks signs webhooks, which the host verifies, and verifies those that the host sends."""

import http.server
import importlib.metadata
import json
import threading
import time
from datetime import datetime, timezone

from clients import TOLD
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from webhooks import admin, check, deliver, effects, finish, step, until

INCOMING = TOLD["webhooks"]["standard"]
RECEIVED = []


def signed(secret, message, text, at):
    signature = Webhook(secret).sign(message, datetime.fromtimestamp(at, tz=timezone.utc), text)
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": signature}


def incoming(what, secret, offset, status, wanted, change=lambda text: text):
    """Sends a webhook, and checks its status and what its job wrote."""
    key = f"standard of Python: {what}"
    insert = {"execute": "INSERT INTO effects (key) VALUES ($1)", "params": [key]}
    text = json.dumps({"note": "žluťoučký 🪑", "do": [insert]}, ensure_ascii=False, indent=1)
    headers = signed(secret, key.replace(":", "").replace(" ", "-"), text, int(time.time()) + offset)
    for _ in range(2):
        seen = deliver(INCOMING["path"], headers, change(text))
        check(what, seen == status, f"{seen} instead of {status}")
    if wanted:
        until(f"the job of {key}", lambda: effects(key))
    check(f"{what}, effects", effects(key) == wanted, effects(key))


for index, known in enumerate(INCOMING["secrets"]):
    incoming(f"secret {index}", known, 0, 200, 1)
first = INCOMING["secrets"][0]
incoming("another secret", INCOMING["foreign"], 0, 400, 0)
incoming("a changed body", first, 0, 400, 0, lambda text: text + " ")
incoming("an hour late", first, -3600, 400, 0)
incoming("an hour early", first, 3600, 400, 0)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        RECEIVED.append((dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def verified(secret, headers, body):
    try:
        return Webhook(secret).verify(body, headers)
    except WebhookVerificationError as error:
        return {"error": str(error)}


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}/hook"
endpoint = admin("POST", "/webhooks/endpoints", {"url": url, "topics": ["judged.python"]})
step({"publish": {"topic": "judged.python", "payload": {"text": "žluťoučký 🪑"}}})
until("the event", lambda: RECEIVED)
head, content = RECEIVED[0]
event = verified(endpoint["secret"], head, content)
check("the event", event.get("data") == {"text": "žluťoučký 🪑"}, event)
check("a changed event", "error" in verified(endpoint["secret"], head, content + b" "), "it was verified")
check("a foreign secret", "error" in verified(first, head, content), "it was verified")
admin("DELETE", f"/webhooks/endpoints/{endpoint['id']}")
finish(f"standardwebhooks {importlib.metadata.version('standardwebhooks')} of PyPI")
