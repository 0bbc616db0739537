"""Python's urllib, which has a connection for each request."""

import platform
import urllib.error
import urllib.request

from clients import BASE, TIMEOUT, judge


def send(method, path, headers, body):
    request = urllib.request.Request(BASE + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


judge(f"Python {platform.python_version()}, urllib", send)
