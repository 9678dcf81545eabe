"""The people of the walk: over WebSocket, over REST, in Slack. They see what a client sees, and no more."""

import base64
import hashlib
import hmac
import json
import time
import uuid

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from stack import AUDIENCE, ISSUER, JWT_SECRET, ORIGIN, SIGNING_SECRET
from waiting import Failed, patience, request

def token(user, tenant, role):
    """A JWT as the portal's identity provider would make it."""
    def part(value):
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    expires_at = int(time.time()) + 3600
    claims = {"sub": user, "tenant_id": tenant, "role": role, "iss": ISSUER, "aud": AUDIENCE, "exp": expires_at}
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    return f"{signed}.{part(hmac.new(JWT_SECRET.encode(), signed.encode(), hashlib.sha256).digest())}"


class Person:
    """Somebody of a tenant."""

    def __init__(self, stack, tenant, user, role="tenant_member"):
        self.stack, self.tenant, self.user = stack, tenant, user
        self.token = token(user, tenant, role)

    def rest(self, method, path, body=None, expected=200, timeout=None):
        """A call that must end with this status; its body."""
        headers = {"Authorization": f"Bearer {self.token}", **self.stack.headers}
        status, answer = request(method, self.stack.http_url + path, body, headers, timeout)
        if status != expected:
            code = answer.get("code") or answer.get("checks") if isinstance(answer, dict) else ""
            raise Failed(f"{method} {path.split('?')[0]}: {status} {code or ''}, not {expected}")
        return answer

    def conversation(self, agent="Ada"):
        """A conversation of its own with an agent."""
        body = {"tenant_id": self.tenant, "agent_id": self.stack.agents[agent], "session_id": uuid.uuid4().hex}
        return self.rest("POST", "/api/portal/chat/conversations", body, 201)["id"]

    def connect(self, conversation, name="walk", last_seq=None):
        """A connection that has authenticated."""
        socket = Socket(self.stack, conversation, name)
        try:
            frame = {"type": "auth", "token": self.token, "telemetry": True}
            socket.send(frame if last_seq is None else {**frame, "last_seq": last_seq})
            socket.until("connection")
        except BaseException:
            socket.close()
            raise
        return socket


class Socket:
    """One WebSocket, and all frames it got."""

    def __init__(self, stack, conversation, name="walk", headers=None):
        self.frames = []
        try:
            self.socket = connect(f"{stack.ws_url}?conversation_id={conversation}", origin=ORIGIN, proxy=None,
                                  additional_headers=stack.headers if headers is None else headers,
                                  user_agent_header=name, open_timeout=patience.seconds, close_timeout=2)
        except (InvalidStatus, ConnectionClosed, OSError, TimeoutError) as error:
            raise Failed(f"no connection: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Hangs up."""
        self.socket.close()

    def send(self, frame):
        """Sends a frame."""
        try:
            self.socket.send(json.dumps(frame))
        except ConnectionClosed as error:
            raise Failed("the connection was closed") from error

    def message(self, content):
        """Sends a message; its id."""
        ident = str(uuid.uuid4())
        self.send({"type": "message", "id": ident, "content": content})
        return ident

    def until(self, kind, **fields):
        """The next frame of this type (with these fields); those before it are kept in `frames`."""
        end = time.monotonic() + patience.seconds
        while True:
            try:
                frame = json.loads(self.socket.recv(max(0.01, end - time.monotonic())))
            except TimeoutError as error:
                raise Failed(f"no frame {kind} within {patience.seconds} s") from error
            except ConnectionClosed as error:
                raise Failed(f"closed before a frame {kind}") from error
            self.frames.append(frame)
            if frame.get("type") == kind and all(frame.get(name) == value for name, value in fields.items()):
                return frame
            if kind != "error" and (frame.get("type") == "error" or "type" not in frame):
                raise Failed(f"{frame.get('code') or frame.get('message')} before a frame {kind}")

    def until_closed(self, timeout=None):
        """Waits for the server to close the connection."""
        timeout = timeout or patience.seconds
        end = time.monotonic() + timeout
        try:
            while True:
                self.frames.append(json.loads(self.socket.recv(max(0.01, end - time.monotonic()))))
        except ConnectionClosed:
            return
        except TimeoutError as error:
            raise Failed(f"not closed within {timeout} s") from error


def slack_event(stack, event):
    """An event of Slack, signed; the status of the answer."""
    workspace = event.pop("workspace")
    body = {"type": "event_callback", "team_id": workspace, "event": event,
            "authorizations": [{"team_id": workspace, "user_id": "U00FAKEBOT01", "is_bot": True}]}
    body = json.dumps(body).encode()
    stamp = str(int(time.time()))
    sign = hmac.new(SIGNING_SECRET.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={sign}", **stack.headers}
    return request("POST", f"{stack.http_url}/slack/events", body, headers)[0]
