"""The shared code of the scripts for webhooks and mail: the plugin, the admin API, and the count of checks."""

import json
import sys
import time
import urllib.error
import urllib.request

from clients import BASE, TIMEOUT, TOLD

ADMIN = "http://{host}:{port}/api/v1/tenants/{tenant}".format(**TOLD["admin"])
CHECKS = WRONG = 0


def check(what, good, seen):
    """Notes a check, and complains if it failed."""
    global CHECKS, WRONG
    CHECKS += 1
    if not good:
        WRONG += 1
        print(f"{what}: {seen}")


def finish(name):
    """Prints a summary, and ends the process."""
    print(f"{name}: {CHECKS} checks, {WRONG} wrong")
    sys.exit(1 if WRONG else 0)


def send(method, url, headers, body=None):
    """Sends a request, and gives the status and the body of the answer."""
    request = urllib.request.Request(url, method=method, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def deliver(path, headers, text):
    """Sends a webhook, and gives the status."""
    return send("POST", BASE + path, {"content-type": "application/json", **headers}, text.encode())[0]


def step(wanted):
    """Lets the plugin do one step, and gives `{"ok": …}` or `{"error": …}`."""
    body = json.dumps({"do": [wanted]}).encode()
    status, answer = send("POST", BASE + TOLD["plugin"], {"content-type": "application/json"}, body)
    if status != 200:
        raise RuntimeError(f"{wanted}: {status}: {answer!r}")
    return json.loads(answer)[0]


def effects(key):
    """How often jobs have written `key`."""
    query = {"query": "SELECT COUNT(*) FROM effects WHERE key = $1", "params": [key]}
    return step(query)["ok"][0][0]


def admin(method, path, value=None):
    """A request to the admin API."""
    headers = {"authorization": f"Bearer {TOLD['admin']['token']}", "content-type": "application/json"}
    body = None if value is None else json.dumps(value).encode()
    status, answer = send(method, ADMIN + path, headers, body)
    if status >= 300:
        raise RuntimeError(f"{method} {path}: {status}: {answer!r}")
    return json.loads(answer) if answer else None


def until(what, ask, seconds=60):
    """Asks until the answer is true."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise RuntimeError(f"{what} did not happen within {seconds} s")
