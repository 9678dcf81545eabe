"""Where the samples' story is played: beside the running stack's own data, on its servers.

A database of their own (migrated by the function `migrate`, filled by events/story.sql, and copied anew for each
sample), the story's keys in Redis, two queues that nobody
works on, and a Management API that takes every post. It
must not touch what is the stack's.
"""
from __future__ import annotations

import fcntl
import hashlib
import json
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable

from rie import ROOT, Failed

TENANT = "01a01b74-45c0-75ac-a56a-e9713fdfefe6"
CONNECTIONS = ("UkT3sd9lFiACHxQ=", "UkT7wd2mliACJrg=")
# events/README.md: what the samples' tokens verify with, and where their browser is.
STORY = {
    "JWT_ISSUER": "https://id.example.com/",
    "JWT_AUDIENCE": "konstruct",
    "JWT_SECRET": "for-the-samples-under-events-only",
    "JWT_JWKS_URL": "",
    "ALLOWED_ORIGINS": "https://chat.example.com",
}
TEMPLATE, DATABASE = "konstruct_story", "konstruct_samples"
QUEUES = {"QUEUE_URL": "samples-turns.fifo", "DEADLINE_QUEUE_URL": "samples-deadlines"}


class ManagementApi(ThreadingHTTPServer):
    """Takes every post to a connection and remembers it; and what is put under any other path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken: list[tuple[str, str, str]] = []  # method, path or connection, body
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One call of the Management API."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ManagementApi

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode(errors="replace")
        path = urllib.parse.unquote(self.path)
        self.server.taken.append((self.command, path.partition("/@connections/")[2] or path, body))
        self.send_response(204 if self.command == "DELETE" else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_PUT = do_DELETE = do_GET = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class Stage:
    """The samples' part of a running stack. One at a time: the second waits."""

    def __init__(self, state_dir: Path) -> None:
        try:
            self.stack: dict[str, Any] = json.loads((state_dir / "stack.json").read_text())
            self.functions: dict[str, dict[str, Any]] = json.loads((state_dir / "environments.json").read_text())
        except FileNotFoundError as error:
            raise Failed(f"there is no {error.filename}; does the stack run (make dev)?") from error
        self.lock = (state_dir / "samples.lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.management = ManagementApi()

    def own(self, function: str) -> dict[str, str]:
        """What the stack gives the function."""
        if function not in self.functions:
            raise Failed(f"the template has no function {function}; it has: {', '.join(self.functions)}")
        return dict(self.functions[function]["variables"])

    def variables(self, function: str, database: str = DATABASE) -> dict[str, str]:
        """The same, with the story's servers and keys in place of the stack's."""
        variables = self.own(function)
        queues = {name: self.queue_url(queue) for name, queue in QUEUES.items()}
        for name, value in (STORY | queues | {"MANAGEMENT_URL": f"{self.management.url}/live"}).items():
            if name in variables:
                variables[name] = value
        for name in ("DATABASE_URL", "DATABASE_PLATFORM_URL", "DATABASE_OWNER_URL"):
            if name in variables:
                variables[name] = urllib.parse.urlsplit(variables[name])._replace(path=f"/{database}").geturl()
        return variables

    def timeout_s(self, function: str) -> int:
        return int(self.functions[function]["timeout_s"])

    def prepare(self, migrate: Callable[[dict[str, str]], None]) -> None:
        """Makes sure of the database with the story, as the files in the project have it."""
        files = [*sorted((ROOT / "migrations").glob("*.sql")), ROOT / "events/story.sql"]
        state = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        known = self.sql(f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{TEMPLATE}'")
        if known.strip() == state:
            return
        self.sql(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        self.sql(f"CREATE DATABASE {TEMPLATE} OWNER konstruct_owner")
        migrate(self.variables("migrate", TEMPLATE))
        self.sql((ROOT / "events/story.sql").read_text(encoding="utf-8"), TEMPLATE)
        self.sql(f"COMMENT ON DATABASE {TEMPLATE} IS '{state}'")

    def fresh(self) -> None:
        """Back to where the story begins."""
        self.sql(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self.sql(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE} OWNER konstruct_owner")
        for pattern in [f"{TENANT}:*", *(f"connection:{urllib.parse.quote(one)}" for one in CONNECTIONS)]:
            self.redis(f"EVAL \"for _,key in ipairs(redis.call('KEYS',ARGV[1])) do redis.call('DEL',key) end\" 0 {pattern}")
        for queue in QUEUES.values():
            # Anew: an emptied queue would still know for 5 minutes what was sent to it.
            try:
                self.sqs("DeleteQueue", QueueUrl=self.queue_url(queue))
            except urllib.error.HTTPError:
                pass  # there was none
            self.sqs("CreateQueue", QueueName=queue, Attributes={"FifoQueue": "true"} if queue.endswith(".fifo") else {})
        self.management.taken.clear()

    def posts(self) -> list[tuple[str, str, str]]:
        """What was posted since the last time."""
        taken, self.management.taken = self.management.taken, []
        return taken

    def queued(self) -> list[Any]:
        """The tasks that were sent since the last time. Deadlines are not among them: they are delayed."""
        bodies: list[Any] = []
        url = self.queue_url(QUEUES["QUEUE_URL"])
        while messages := self.sqs("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                self.sqs("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                bodies.append(json.loads(message["Body"]))
        return bodies

    def queue_url(self, queue: str) -> str:
        return f"{self.stack['sqs_endpoint']}/000000000000/{queue}"

    def sqs(self, action: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(self.stack["sqs_endpoint"] + "/", json.dumps(body).encode(), {
            "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{action}",
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/sqs/aws4_request"})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"{}")

    def sql(self, sql: str, database: str | None = None) -> str:
        """Runs SQL as administrator; what psql prints."""
        url = urllib.parse.urlsplit(self.stack["admin_database_url"])
        if database:
            url = url._replace(path=f"/{database}")
        # Not as an argument: those can be read in the process list.
        login = {"PGPASSWORD": urllib.parse.unquote(url.password or ""), "PGOPTIONS": "-c client_min_messages=warning"}
        bare = url._replace(netloc=url.netloc.replace(f":{url.password}@", "@", 1)).geturl()
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", bare], input=sql,
                              env={"PATH": "/usr/local/bin:/usr/bin:/bin", **login}, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"the database refuses: {done.stderr.strip()}")
        return done.stdout

    def redis(self, command: str) -> None:
        url = urllib.parse.urlsplit(self.stack["redis_url"])
        with socket.create_connection((url.hostname, url.port or 6379), 10) as connection:
            for line in ([f"AUTH {url.username or 'default'} {url.password}"] if url.password else []) + [command]:
                connection.sendall(line.encode() + b"\r\n")
                answer = connection.recv(4096)
                if answer.startswith(b"-"):
                    raise Failed(f"Redis refuses: {answer.decode(errors='replace').strip()}")
