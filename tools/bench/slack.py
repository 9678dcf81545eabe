#!/usr/bin/env python3
"""How soon Slack has its 200: signed mentions against a running stack, the first of them to a cold process.

Usage: slack.py STACK_JSON [COUNT]. Start the stack anew for the cold figure. The tenant is acme, whose limit is high.
"""
import hashlib
import hmac
import http.client
import json
import statistics
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

STACK, COUNT = json.loads(Path(sys.argv[1]).read_text()), int((sys.argv + ["200"])[2])
KEY, HOST = STACK["secrets"]["slack_signing_secret"].encode(), urlsplit(STACK["http_url"]).netloc


def mention() -> bytes:
    ts = f"{int(time.time())}.{uuid.uuid4().int % 10**6:06d}"
    event = {"type": "app_mention", "user": "U1", "channel": "C0BENCH", "ts": ts, "text": "<@U00FAKEBOT01> hello"}
    bots = [{"team_id": "T00FAKE00AA", "user_id": "U00FAKEBOT01", "is_bot": True}]
    return json.dumps({"type": "event_callback", "team_id": "T00FAKE00AA", "event": event, "authorizations": bots}).encode()


def deliver(body: bytes) -> float:
    """Milliseconds to the answer, which must be 200."""
    stamp = str(int(time.time()))
    sign = "v0=" + hmac.new(KEY, b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": sign}
    began = time.perf_counter()
    connection = http.client.HTTPConnection(HOST)
    connection.request("POST", "/slack/events", body, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        sys.exit(f"answered {answer.status}")
    return (time.perf_counter() - began) * 1000


first = deliver(mention())
rest = sorted(deliver(mention()) for _ in range(COUNT - 1))
p99 = rest[min(len(rest) - 1, len(rest) * 99 // 100)]
print(f"{COUNT} mentions: first {first:.1f} ms, p50 {statistics.median(rest):.1f}, p99 {p99:.1f}, max {rest[-1]:.1f} ms")
