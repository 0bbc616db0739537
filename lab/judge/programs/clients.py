"""The shared code of the scripts for Python: the requests to send, and the count of lost responses."""

import json
import sys

TOLD = json.load(open("told.json", encoding="utf-8"))
BASE = f"http://{TOLD['host']}:{TOLD['port']}"
TIMEOUT = 30


def judge(name, send):
    """Sends each refused request and then a good one by `send`, and ends the process with what was lost.

    `send` takes method, path, headers and body, and gives the status and the body of the answer.
    """
    sent = lost = 0

    def expect(status, what, *request):
        nonlocal sent, lost
        sent += 1
        try:
            seen, body = send(*request)
        except Exception as error:  # Whatever the client raises is an answer that was lost.
            lost += 1
            print(f"{what}: {type(error).__name__}: {error}")
            return
        if seen != status:
            lost += 1
            print(f"{what}: {seen} instead of {status}: {body[:200]!r}")

    for case in TOLD["cases"]:
        body = b"a" * case["size"]
        for _ in range(case["rounds"]):
            expect(case["status"], case["name"], case["method"], case["path"], case["headers"], body)
            good = ("POST", TOLD["open"], {"content-type": "text/plain"}, b"good")
            expect(200, f"the request after: {case['name']}", *good)
    finish(name, sent, lost)


def finish(name, sent, lost):
    """Prints a summary, and ends the process."""
    print(f"{name}: {sent} requests, {lost} lost")
    sys.exit(1 if lost else 0)
