"""Python's http.client with one kept-alive connection."""

import http.client
import platform

from clients import TIMEOUT, TOLD, judge

CONNECTION = http.client.HTTPConnection(TOLD["host"], TOLD["port"], timeout=TIMEOUT)


def send(method, path, headers, body):
    try:
        CONNECTION.request(method, path, body, headers)
        response = CONNECTION.getresponse()
        return response.status, response.read()
    except Exception:
        CONNECTION.close()
        raise


judge(f"Python {platform.python_version()}, http.client", send)
