"""`make deploy-test`: the template deployed to an emulator that enforces IAM, and walked through. README.md says what
that proves and what it cannot.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import world
from client import Failed
from permissions import Invocations, Policies, logging_noticed, noticed
from servers import Servers
from stack import Aws, Package, Stack
from stubs import Model, Slack
from walk import STEPS

BEGAN = time.monotonic()


def say(text):
    """One line, with the time since the start."""
    print(f"{time.monotonic() - BEGAN:7.1f} s  {text}", flush=True)


def walked(stack, step):
    """Walks one step; how long it took, and what the emulator checked meanwhile. No function may have been refused."""
    began, clock = time.monotonic(), time.time()
    try:
        step.act(stack)
    except Failed as error:
        raise Failed(f"{step.name}: {error}\n{stack.logs(step.functions, clock)}") from error
    checks = [tuple(check) for check in stack.ask_emulator(do="checks", since=clock)]
    if refused := [check for check in checks if not check[3] and check[0].startswith(stack.name)]:
        raise Failed(f"{step.name}: a function may not do what it does: {refused}")
    say(f"{stack.name} {step.name} ({time.monotonic() - began:.1f} s)")
    return time.monotonic() - began, checks


def deployed(aws, servers, package, number, model, slack):
    """A stack of the package, with its people."""
    stack = Stack(aws, servers, f"kt{number}", number, model, slack)
    stack.deploy(package)
    stack.invoke("migrate", {})
    world.passwords(servers)
    world.populate(stack)
    return stack


def cases(stack, seen):
    """Every permission of a stack, with the steps that needed it on the first stack, the quickest first."""
    policies, invocations = Policies(stack), Invocations(stack)
    found = []
    for holders in (policies, invocations):
        for permission in holders.permissions:
            if permission.action.startswith("logs:"):
                continue
            steps = [(seconds, step) for step, (seconds, checks) in seen.items()
                     if not step.once and set(step.functions) & set(permission.functions)
                     and any(permission.covers(check) for check in checks)]
            found.append((holders, permission, [step for _, step in sorted(steps, key=lambda each: each[0])]))
    return policies, found


def lane(stack, number, lanes):
    """The share of one stack: the whole walk, every so many-th permission, the whole walk again. What failed."""
    seen = {step: walked(stack, step) for step in STEPS if number == 0 or not step.once}
    policies, found = cases(stack, seen)
    wrong = []
    for holders, permission, steps in found[number::lanes]:
        try:
            say(f"{stack.name} {noticed(stack, holders, permission, steps)}")
        except Failed as error:
            wrong.append(str(error))
            say(f"{stack.name} FAILED {error}")
    if number == lanes - 1:
        for line in logging_noticed(stack, policies):
            say(f"{stack.name} {line}")
    for step in STEPS:
        if not step.once:
            walked(stack, step)
    return wrong


def main():
    """Deploys, walks, takes permissions away."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--functions", type=Path, required=True, help="folder of the functions' binaries")
    arguments.add_argument("--only", default="", help="walk only steps whose name holds this, and take nothing away")
    arguments.add_argument("--lanes", type=int, default=4, help="stacks on which permissions are taken away at once")
    given = arguments.parse_args()
    with Servers() as servers, ThreadPoolExecutor(given.lanes) as pool:
        servers.start()
        world.roles(servers)
        model, slack = Model(), Slack()
        aws = Aws(servers)
        package = Package(aws, given.functions)
        say("servers are up, functions are packaged")
        numbers = range(1 if given.only else given.lanes)
        # One after the other: their migrations make the same roles.
        stacks = [deployed(aws, servers, package, number, model, slack) for number in numbers]
        say("deployed")
        if given.only:
            for step in STEPS:
                if given.only in step.name:
                    walked(stacks[0], step)
            return
        wrong = [each for some in pool.map(lambda number: lane(stacks[number], number, given.lanes), numbers)
                 for each in some]
        if wrong:
            raise Failed("\n".join(wrong))


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
