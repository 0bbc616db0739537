"""curl: the rejected requests, and checks of versions, methods and fields."""

import json
import subprocess

from clients import BASE, TIMEOUT, TOLD, finish

SENT = LOST = 0


def curl(*arguments, body=None):
    """Runs curl, and returns its output: heads and bodies."""
    command = ["curl", "--silent", "--show-error", "--include", "--max-time", str(TIMEOUT), *arguments]
    done = subprocess.run(command, input=body, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"curl ended with {done.returncode}: {done.stderr.decode().strip()}")
    return done.stdout.decode()


def expect(what, check, *arguments, body=None):
    global SENT, LOST
    SENT += 1
    try:
        seen = curl(*arguments, body=body)
    except RuntimeError as error:
        LOST += 1
        print(f"{what}: {error}")
        return
    if not check(seen):
        LOST += 1
        print(f"{what}: {seen[:600]!r}")


def last_status(status):
    """Checks the status of the last head. A head with the status 100 may precede it."""
    return lambda seen: [line for line in seen.splitlines() if line.startswith("HTTP/")][-1].split()[1] == str(status)


def fields(seen):
    """The fields of the last head."""
    head = seen.replace("\r\n", "\n").split("\n\n")[0].split("\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)}


def echoed(seen, name):
    """The values of a field as the plugin saw it."""
    sent = json.loads(seen.replace("\r\n", "\n").split("\n\n")[-1])["headers"]
    return [value for field, value in sent if field == name]


OPEN, READ, PRIVATE = (BASE + TOLD[name] for name in ("open", "read", "private"))
BEARER = f"authorization: Bearer {TOLD['key']}"

# With HTTP/2 this curl stops in the middle of a body when it gets an error, and ends the stream with less than its
# `content-length`, which is a stream error (RFC 9113, 8.1.1). So its bodies are small enough to be sent at once.
AT_ONCE = 10_000

for version in ("--http1.1", "--http2-prior-knowledge"):
    for case in TOLD["cases"]:
        if version != "--http1.1" and case["size"] > AT_ONCE:
            continue
        content_type = f"content-type: {case['headers']['content-type']}"
        for _ in range(3):
            expect(
                f"{case['name']}, {version}", last_status(case["status"]),
                version, "-X", case["method"], "-H", content_type, "--data-binary", "@-", BASE + case["path"],
                body=b"a" * case["size"],
            )
    expect(f"a credential, {version}", last_status(200), version, "-H", BEARER, "-d", "good", PRIVATE)
    expect(f"HEAD, {version}", last_status(200), version, "--head", READ)
    expect(
        f"`Allow` names HEAD, {version}", lambda seen: "HEAD" in fields(seen)["allow"].split(", "),
        version, "-X", "DELETE", READ,
    )
    expect(
        f"the plugin sees `host`, {version}",
        lambda seen: echoed(seen, "host") == [f"{TOLD['host']}:{TOLD['port']}"], version, READ,
    )
    expect(
        f"an empty key beside a credential, {version}", last_status(200),
        version, "-H", "x-api-key;", "-H", BEARER, "-d", "good", PRIVATE,
    )
    expect(
        f"compressed JSON for a schema, {version}", last_status(415),
        version, "-H", "content-type: application/json", "-H", "content-encoding: gzip", "--data-binary", "@-",
        BASE + TOLD["open"].replace("/open", "/checked"), body=b"\x1f\x8b\x08\x00",
    )
    expect(
        f"a media type that ends with +json, {version}", last_status(200),
        version, "-H", "content-type: application/cloudevents+json", "-d", "{}",
        BASE + TOLD["open"].replace("/open", "/checked"),
    )
expect(
    "cookies that came apart are one field", lambda seen: echoed(seen, "cookie") == ["a=1; b=2"],
    "--http2-prior-knowledge", "-H", "cookie: a=1", "-H", "cookie: b=2", READ,
)
expect(
    "a transfer coding that nobody asked for", last_status(501),
    "--http1.1", "-H", "transfer-encoding: gzip, chunked", "-d", "x", OPEN,
)
version = subprocess.run(["curl", "--version"], capture_output=True, check=True).stdout.decode().split()[1]
finish(f"curl {version}", SENT, LOST)
