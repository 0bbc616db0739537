"""A client of httpx, by HTTP/1.1 and by HTTP/2."""

import httpx

from clients import BASE, TIMEOUT, judge

CLIENTS = [
    httpx.Client(base_url=BASE, timeout=TIMEOUT),
    # Without TLS nothing is negotiated, so HTTP/2 is spoken from the beginning.
    httpx.Client(base_url=BASE, timeout=TIMEOUT, http1=False, http2=True),
]


def send(method, path, headers, body):
    statuses = set()
    for client in CLIENTS:
        response = client.request(method, path, headers=headers, content=body)
        statuses.add(response.status_code)
    assert len(statuses) == 1, f"HTTP/1.1 and HTTP/2 differ: {statuses}"
    return statuses.pop(), response.content


judge(f"httpx {httpx.__version__}, by HTTP/1.1 and HTTP/2", send)
