"""The sample events under events/, what comes before each in the story, and what each must be answered (expected.json).
What is signed or given by others is made fresh here; nothing else of a sample is changed.
"""
from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rie import ROOT

EVENTS = ROOT / "events"


@dataclass
class Sample:
    """One file, and its line in expected.json."""

    name: str  # ws-auth/auth
    event: dict[str, Any]
    before: list[str] = field(default_factory=list)
    expected: dict[str, Any] = field(default_factory=dict)

    @property
    def function(self) -> str:
        return self.name.partition("/")[0]


def expectations() -> dict[str, dict[str, Any]]:
    return json.loads((EVENTS / "expected.json").read_text(encoding="utf-8"))


def load(name: str, expected: dict[str, dict[str, Any]]) -> Sample:
    event = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    of_this = dict(expected.get(name, {}))
    return Sample(name, event, of_this.pop("before", []), of_this)


def names() -> list[str]:
    return sorted(str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.glob("*/*.json"))


def of_path(path: Path) -> str | None:
    """The sample's name, where the file is one."""
    try:
        return str(path.resolve().relative_to(EVENTS).with_suffix(""))
    except ValueError:
        return None


def refreshed(event: dict[str, Any], variables: dict[str, str], answers: dict[str, Any], put_url: str) -> dict[str, Any]:
    """The event as it would come today: Slack's signature (good for 5 minutes), the `state` of the installation that
    was begun just before, the place where CloudFormation waits for an answer."""
    event = json.loads(json.dumps(event))
    headers = event.get("headers", {})
    if "x-slack-signature" in headers and variables.get("SLACK_SIGNING_SECRET"):
        stamp = str(int(time.time()))
        signed = f"v0:{stamp}:{event.get('body', '')}".encode()
        digest = hmac.new(variables["SLACK_SIGNING_SECRET"].encode(), signed, hashlib.sha256).hexdigest()
        headers |= {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={digest}"}
    if state := re.search(r"state=([\w.%-]+)", json.dumps(answers.get("slack-install/get", ""))):
        event["rawQueryString"] = re.sub(r"state=[\w.%-]+", f"state={state[1]}", event.get("rawQueryString", ""))
        event.get("queryStringParameters", {})["state"] = state[1]
    if "ResponseURL" in event:
        event["ResponseURL"] = f"{put_url}/cloudformation"
    return event


def frames(posts: list[tuple[str, str, str]]) -> list[str]:
    """The types of the frames that were posted, in their order, of an error with its code; `closed` for a connection that
    was."""
    types: list[str] = []
    for method, where, body in posts:
        if method == "POST":
            frame = json.loads(body)
            types.append(":".join(str(frame[part]) for part in ("type", "code") if part in frame))
        else:
            types.append("closed" if method == "DELETE" else f"{method} {where}")
    return types


def differences(expected: dict[str, Any], answer: Any, posts: list[str], queued: int) -> list[str]:
    """How an answer is not what it must be: `status`, `answer` (what it has at least), `body` (a part of it), `posts`
    (frames in this order, others may be between) and `queued` (how many tasks)."""
    wrong: list[str] = []
    if not expected:
        return ["events/expected.json has no line for it"]
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    if expected.get("status") != status:
        wrong.append(f"status {status}, not {expected.get('status')}: {json.dumps(answer)[:300]}")
    for name, value in expected.get("answer", {}).items():
        if not isinstance(answer, dict) or answer.get(name) != value:
            wrong.append(f"{name} is not {json.dumps(value)}: {json.dumps(answer)[:300]}")
    if expected.get("body", "") not in (answer.get("body") or "" if isinstance(answer, dict) else ""):
        wrong.append(f"the body has no {expected['body']!r}: {json.dumps(answer)[:300]}")
    come = iter(posts)
    if not all(frame in come for frame in expected.get("posts", [])) or bool(posts) != bool(expected.get("posts")):
        wrong.append(f"posted {posts}, not {expected.get('posts', [])}")
    if queued != expected.get("queued", 0):
        wrong.append(f"{queued} tasks were sent, not {expected.get('queued', 0)}")
    return wrong
