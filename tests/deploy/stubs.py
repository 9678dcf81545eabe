"""What is neither AWS nor ours: a model that speaks OpenAI's API, a server of tools, and Slack's Web API. They never
leave this process.

The model obeys the last message of the prompt: `hold NAME` begins an answer and goes on when the test releases it,
`call TOOL` calls a tool with a query, and anything else is answered with what was said.
"""

import itertools
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HELD_S = 25


class Stub:
    """A server on a thread of its own."""

    def __init__(self):
        self.lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                stub.answer(self, body)

            do_GET = do_DELETE = do_POST

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


def reply(handler, body, status=200):
    """One whole answer in JSON."""
    body = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class Model(Stub):
    """A model that streams."""

    def __init__(self):
        self.gates, self.keys = {}, set()
        super().__init__()

    def gate(self, name):
        """What a held answer waits for."""
        with self.lock:
            return self.gates.setdefault(name, threading.Event())

    def release(self, name):
        """Lets a held answer go on."""
        self.gate(name).set()

    def answer(self, handler, body):
        """A stream of chunks; under `/mcp` it is a server of one tool, `echo`."""
        asked = json.loads(body or b"{}")
        with self.lock:
            self.keys.add((handler.headers.get("Authorization") or "").removeprefix("Bearer "))
        if handler.path == "/mcp":
            return self.tool(handler, asked)
        said = asked["messages"][-1]
        text = said["content"] if isinstance(said["content"], str) else "".join(
            part.get("text", "") for part in said["content"])
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        try:
            self.stream(handler, said, text)
        except OSError:
            pass  # The agent hung up: it was told to stop.

    @staticmethod
    def tool(handler, asked):
        """The Model Context Protocol, as far as a client without sessions needs it."""
        echo = {"name": "echo", "description": "Says it again.", "inputSchema": {
            "type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}}
        match asked.get("method"):
            case "initialize":
                result = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                          "serverInfo": {"name": "stub", "version": "1"}}
            case "tools/list":
                result = {"tools": [echo]}
            case "tools/call":
                result = {"content": [{"type": "text", "text": asked["params"]["arguments"]["query"]}]}
            case _:
                return reply(handler, {}, 202 if handler.command == "POST" else 405)
        reply(handler, {"jsonrpc": "2.0", "id": asked["id"], "result": result})

    def stream(self, handler, said, text):
        """Writes the answer, piece by piece."""
        def chunk(delta, finish=None, **more):
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": int(time.time()),
                    "model": "stub", "choices": [choice], **more}
            handler.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
            handler.wfile.flush()

        words = text.split()
        if said["role"] == "user" and words[:1] == ["call"]:
            function = {"name": words[1], "arguments": '{"query": "hello"}'}
            chunk({"role": "assistant", "tool_calls": [
                {"index": 0, "id": f"call_{time.monotonic_ns()}", "type": "function", "function": function}]})
            chunk({}, "tool_calls")
        else:
            chunk({"role": "assistant", "content": "You said: "})
            if words[:1] == ["hold"]:
                self.gate(words[1]).wait(HELD_S)
            chunk({"content": text})
            chunk({}, "stop")
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        data = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "stub", "choices": [],
                "usage": usage}
        handler.wfile.write(f"data: {json.dumps(data)}\n\ndata: [DONE]\n\n".encode())


class Slack(Stub):
    """Slack's Web API: takes every call and remembers it. A code of an installation is `code-WORKSPACE`."""

    def __init__(self):
        self.calls = []
        self.numbers = itertools.count(1)
        super().__init__()

    def answer(self, handler, body):
        """What Slack would say."""
        method = handler.path.split("?")[0].rsplit("/", 1)[-1]
        text = body.decode()
        if "json" in (handler.headers.get("Content-Type") or ""):
            args = json.loads(text or "{}")
        else:
            args = dict(urllib.parse.parse_qsl(text or urllib.parse.urlsplit(handler.path).query))
        with self.lock:
            ts = f"{int(time.time())}.{next(self.numbers):06d}"
            self.calls.append((method, args))
        if method == "oauth.v2.access":
            workspace = args["code"].removeprefix("code-")
            reply(handler, {
                "ok": True, "app_id": "A00FAKEAPP01", "authed_user": {"id": "U00FAKEUSER1"}, "scope": "chat:write",
                "token_type": "bot", "access_token": f"xoxb-{workspace}", "bot_user_id": "U00FAKEBOT01",
                "team": {"id": workspace, "name": "Fake"}, "enterprise": None, "is_enterprise_install": False})
        elif method == "conversations.replies":
            reply(handler, {"ok": True, "messages": [], "has_more": False})
        else:
            ts = args.get("ts", ts)
            reply(handler, {"ok": True, "channel": args.get("channel"), "ts": ts, "message": {"ts": ts}})

    def said(self, room):
        """What was written in a room: the texts of all calls about it, in order."""
        with self.lock:
            calls = [args for _, args in self.calls if args.get("channel") == room]
        return [args.get("markdown_text") or args.get("text") or "" for args in calls]
