"""A function's binary under AWS's own runtime interface emulator (it is in the SAM CLI's wheel): what Lambda starts, on
one machine and without a container. It must not outlive whoever started it.
"""
from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 20


class Failed(Exception):
    """What the person at the terminal must know."""


@dataclass
class Answer:
    """What a function answered: a JSON value, or why there is none."""

    value: Any
    error: str | None
    log: str


def emulator() -> Path:
    """The emulator's program for this machine."""
    script = ROOT / "tools/setup/python-deploy"
    tools = subprocess.run([script, "deploy"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}[subprocess.run(["uname", "-m"], capture_output=True, text=True).stdout.strip()]
    found = list(Path(tools).parent.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
    if not found:
        raise Failed(f"there is no aws-lambda-rie-{machine} in {tools}")
    return found[0]


class Rie:
    """One emulator with one function, used as a context manager. Each has two free ports of 127.0.0.1."""

    def __init__(self, program: Path, binary: Path, variables: dict[str, str], timeout_s: int) -> None:
        self.program, self.binary, self.timeout_s = program, binary, timeout_s
        # Its own, else: the emulator passes on what Lambda's process has, and sets the rest itself.
        self.variables = {k: v for k, v in variables.items() if not k.startswith(("AWS_LAMBDA_RUNTIME_API", "_HANDLER"))}
        self.variables["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(timeout_s)
        self.port = 0
        self.log = tempfile.TemporaryFile()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Rie:
        for _ in range(3):
            if self._start():
                return self
        raise Failed(f"the emulator does not start:\n{self._said()}")

    def _start(self) -> bool:
        """False where somebody took one of the ports meanwhile."""
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.port, runtime_api = one.getsockname()[1], other.getsockname()[1]
        command = ["setpriv", "--pdeathsig", "TERM", "--", str(self.program),
                   "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}",
                   "--runtime-api-address", f"127.0.0.1:{runtime_api}", str(self.binary)]
        self.process = subprocess.Popen(command, cwd="/", env=self.variables, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        # Both: it takes invocations before the function can reach it.
        if self._listens(self.port) and self._listens(runtime_api):
            return True
        self.__exit__(None, None, None)
        return False

    def _listens(self, port: int) -> bool:
        until = time.monotonic() + START_S
        while self.process and self.process.poll() is None and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                time.sleep(0.005)
        return False

    def invoke(self, event: bytes) -> Answer:
        """One invocation; the first also starts the function."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s + 30)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", event)
            body = connection.getresponse().read().decode()
        except OSError as error:
            return Answer(None, f"the emulator does not answer: {error}", self._said())
        finally:
            connection.close()
        try:
            value = json.loads(body)
        except ValueError:
            # A time-out, or a process that ended.
            return Answer(None, body.strip() or "no answer", self._said())
        failure = None
        if isinstance(value, dict) and {"errorType", "errorMessage"} <= value.keys():
            failure = f"{value['errorType']}: {value['errorMessage'].strip()}"
        return Answer(value, failure, self._said())

    def _said(self) -> str:
        """The function's own log, and the lines that Lambda would add."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if "(rapid)" not in line)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
