"""A client of httpx, by HTTP/1.1 and by HTTP/2."""

import httpx

from clients import BASE, TIMEOUT, judge

HTTP1 = httpx.Client(base_url=BASE, timeout=TIMEOUT)
# Without TLS there is no negotiation, so HTTP/2 is used from the start.
HTTP2 = httpx.Client(base_url=BASE, timeout=TIMEOUT, http1=False, http2=True)


def send(method, path, headers, body):
    response = HTTP1.request(method, path, headers=headers, content=body)
    other = HTTP2.request(method, path, headers=headers, content=body)
    assert other.status_code == response.status_code, f"{other.status_code} by HTTP/2"
    return response.status_code, response.content


judge(f"httpx {httpx.__version__}, by HTTP/1.1 and HTTP/2", send)
