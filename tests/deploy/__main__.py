"""`make deploy-test`: the template deployed to an emulator that enforces IAM, and walked through. README.md says what
that proves and what it cannot.
"""

import argparse
import sys
import time
from pathlib import Path

import world
from client import Failed
from servers import Servers
from stack import Aws, Package, Stack
from stubs import Model, Slack
from walk import STEPS

BEGAN = time.monotonic()


def say(text):
    """One line, with the time since the start."""
    print(f"{time.monotonic() - BEGAN:7.1f} s  {text}", flush=True)


def walk(stack, steps=STEPS):
    """Every step must be seen to its end."""
    for each in steps:
        began, clock = time.monotonic(), time.time()
        try:
            each.act(stack)
        except Failed as error:
            sys.exit(f"{each.name}: {error}\n{stack.logs(each.functions, clock)}")
        say(f"{each.name} ({time.monotonic() - began:.1f} s)")


def main():
    """Deploys, walks."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--functions", type=Path, required=True, help="folder of the functions' binaries")
    arguments.add_argument("--only", help="walk only steps whose name holds this")
    given = arguments.parse_args()
    with Servers() as servers:
        servers.start()
        world.roles(servers)
        model, slack = Model(), Slack()
        aws = Aws(servers)
        package = Package(aws, given.functions)
        say("servers are up, functions are packaged")
        stack = Stack(aws, servers, "kt0", 0, model, slack)
        stack.deploy(package)
        stack.invoke("migrate", {})
        world.passwords(servers)
        world.populate(stack)
        say("deployed")
        walk(stack, [each for each in STEPS if not given.only or given.only in each.name])
        for each in stack.ask_emulator(do="denials", since=0):
            say(f"denied: {each}")


if __name__ == "__main__":
    main()
