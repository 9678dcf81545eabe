#!/usr/bin/env python3
"""Start-up of every function: process start to first poll of the Runtime API, and resident memory at that moment.

Usage: startup.py BINARIES STACK_JSON [RUNS]. The stack gives Postgres, Redis and the queues; it must be running.
It invokes nothing.
"""
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

FOLDER, STACK, RUNS = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), int((sys.argv + ["", "20"])[3] or 20)


def environment(port: int) -> dict[str, str]:
    queue = STACK["queue_url"]
    return {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench", "AWS_ENDPOINT_URL_SQS": STACK["sqs_endpoint"], "QUEUE_URL": queue,
        "DEADLINE_QUEUE_URL": queue, "DATABASE_URL": STACK["database_url"], "DATABASE_PLATFORM_URL": STACK["database_url"],
        "DATABASE_OWNER_URL": STACK["database_url"], "REDIS_URL": STACK["redis_url"], "MANAGEMENT_URL": STACK["management_url"],
        "JWT_ISSUER": "x", "JWT_AUDIENCE": "x", "JWT_SECRET": "x" * 32, "ALLOWED_ORIGINS": "http://localhost",
        "OPENAI_BASE_URL": STACK["model_url"] + "/v1", "LLM_MODEL": "x", "LOG_LEVEL": "error",
        "SLACK_API_BASE_URL": STACK["recorder_url"] + "/slack/api", "SLACK_SIGNING_SECRET": "x", "SLACK_CLIENT_ID": "x",
        "SLACK_CLIENT_SECRET": "x", "SLACK_REDIRECT_URL": "http://localhost/slack/oauth/callback", "AWS_SAM_LOCAL": "true",
        "SECRETS_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    }


def once(binary: Path) -> tuple[float, float]:
    """Milliseconds to the first poll, and MB resident then."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        began = time.perf_counter()
        child = subprocess.Popen([binary], env=environment(server.getsockname()[1]), stdout=subprocess.DEVNULL)
        try:
            server.settimeout(10)
            connection, _ = server.accept()
            asked = connection.recv(4096)
            took = (time.perf_counter() - began) * 1000
            assert b"/runtime/invocation/next" in asked, asked
            status = Path(f"/proc/{child.pid}/status").read_text()
            resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
            return took, resident / 1024
        finally:
            child.kill()
            child.wait()


print(f"{'function':22}{'MB':>7}{'ms to first poll: min':>24}{'p50':>8}{'max':>8}{'RSS MB':>9}")
for binary in sorted(p for p in FOLDER.iterdir() if (Path("functions") / p.name).is_dir() and os.access(p, os.X_OK)):
    runs = [once(binary) for _ in range(RUNS)]
    times, memory = [r[0] for r in runs], [r[1] for r in runs]
    size = binary.stat().st_size / 1e6
    print(f"{binary.name:22}{size:7.2f}{min(times):24.2f}{statistics.median(times):8.2f}{max(times):8.2f}{max(memory):9.1f}")
