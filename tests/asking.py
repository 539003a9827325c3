"""Requests to a served page as programs send them. Used by the tests of the server and of hostile input."""

import http.client
import json
import re
from urllib.parse import urlsplit

# What the page publishes, and nothing else.
ENDPOINTS = {"list_runs", "summary", "top_units", "probe_pair", "run_probe", "intervene_pair", "draw_pair"}


def ask(url, path, method="GET", body=None, headers=None):
    """Send one request as it stands; return status, headers and content."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


def call(url, name, data):
    """Call an endpoint as a program does; return the event's kind and what it says."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    body = data if isinstance(data, bytes) else json.dumps({"data": data}).encode()
    connection.request("POST", f"/gradio_api/call/{name}", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    content = answer.read().decode()
    if answer.status != 200:
        return answer.status, content
    connection.request("GET", f"/gradio_api/call/{name}/{json.loads(content)['event_id']}")
    said = connection.getresponse().read().decode()
    connection.close()
    return re.findall(r"^event: (\w+)", said, re.MULTILINE)[-1], said
