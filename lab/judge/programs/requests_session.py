"""A session of requests."""

import requests

from clients import BASE, TIMEOUT, judge

SESSION = requests.Session()


def send(method, path, headers, body):
    response = SESSION.request(method, BASE + path, headers=headers, data=body, timeout=TIMEOUT)
    return response.status_code, response.content


judge(f"requests {requests.__version__}", send)
