"""How the test waits and asks: for what it expects, with a limit, never for a guess."""

import json
import threading
import time
import urllib.error
import urllib.request

PATIENCE_S = 30
"""How long to wait for what is expected; a good run needs a fraction of it."""

HURRY_S = 4
"""And where a permission was taken away: ten times what a good run needs. All of it is waited for, each time."""


class Patience(threading.local):
    """How long this thread waits."""

    seconds = PATIENCE_S


patience = Patience()


class Failed(Exception):
    """A step did not see what it was to see."""


def request(method, url, body=None, headers=None, timeout=None):
    """One HTTP call: status and body, which is JSON where it can be."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    headers = {**({"Content-Type": "application/json"} if data else {}), **(headers or {})}
    asked = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=timeout or patience.seconds) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    except OSError as error:
        raise Failed(f"{method} {url.rsplit('/', 2)[-1]}: {error}") from error
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def until(seen, what, timeout=None):
    """Waits until something is so; gives back what was seen."""
    timeout = timeout or patience.seconds
    end = time.monotonic() + timeout
    while True:
        found = seen()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {timeout} s")
        time.sleep(0.03)
