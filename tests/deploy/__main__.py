"""`make deploy-test`: the template deployed to an emulator that enforces IAM, and walked through. README.md says what
that proves and what it cannot.
"""

import argparse
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import elsewhere
import policies
import updates
import world
from waiting import Failed
from permissions import administration_noticed, cases, logging_noticed, noticed
from servers import Servers
from stack import Aws, Package, Stack, as_given, as_on_aws
from stubs import Model, Slack
from walk import STEPS

BEGAN = time.monotonic()


def say(text):
    """One line, with the time since the start."""
    print(f"{time.monotonic() - BEGAN:7.1f} s  {text}", flush=True)


def walked(stack, step):
    """Walks one step; what the emulator checked meanwhile. No function may have been refused anything."""
    clock = time.time()
    try:
        step.act(stack)
    except Failed as error:
        raise Failed(f"{step.name}: {error}\n{stack.logs(step.functions, clock)}") from error
    checks = [tuple(check) for check in stack.ask_emulator(do="checks", since=clock)]
    if refused := [check for check in checks if not check[3] and check[0].startswith(stack.name)]:
        raise Failed(f"{step.name}: a function may not do what it does: {refused}")
    return checks


def deployed(aws, servers, package, number, model, slack, variant):
    """A stack of the package, with its people."""
    stack = Stack(aws, servers, number, model, slack, variant)
    stack.deploy(package)
    world.passwords(servers)
    world.populate(stack)
    return stack


def lane(stack, number, stacks):
    """What one stack has to do: the whole walk, its share of permissions, the whole walk again. What failed."""
    mine = [step for step in STEPS if step.fits(stack)]
    wrong, seen, holders = [], {}, []

    def again(once):
        for step in mine:
            if once or not step.once:
                seen[step] = walked(stack, step)
                yield f"{step.name}"
    wrong += tried(stack, lambda: again(number == 0))
    if wrong:
        return wrong, holders  # there is nothing to take away from what does not work
    holders = policies.of(stack)
    found = cases(holders, seen)
    if stack.variant is as_given:
        # What the others have too is theirs to show.
        found = [case for case in found if case[1].action.startswith("kms:")]
    else:
        same = [each for each in stacks if each.variant is stack.variant]
        found = found[same.index(stack)::len(same)]
    for holder, permission, steps in found:
        wrong += tried(stack, lambda: [noticed(stack, holder, permission, steps)])
    if stack.variant is as_given:
        wrong += tried(stack, lambda: logging_noticed(stack, holders[0]))
    if number == 0:
        for key in stack.resources("AWS::KMS::Key").values():
            wrong += tried(stack, lambda: administration_noticed(stack, key))
    wrong += tried(stack, lambda: again(False))
    return wrong, holders


def tried(stack, proof):
    """Makes a proof, and says what it showed; what failed."""
    try:
        for line in proof():
            say(f"{stack.name} {line}")
    except Failed as error:
        say(f"{stack.name} FAILED {error}")
        return [str(error)]
    return []


def everything(aws, package, stacks):
    """All proofs; fails with the list of those that failed."""
    with ThreadPoolExecutor(len(stacks)) as pool:
        newer = pool.submit(Package, aws, package.functions, "newer")
        done = list(pool.map(lambda number: lane(stacks[number], number, stacks), range(len(stacks))))
    wrong = [each for some, _ in done for each in some]
    if not all(holders for _, holders in done):
        raise Failed("\n".join(["", *wrong]))
    found = [permission for _, holders in done for holder in holders for permission in holder.permissions]
    unknown = {name for _, name in done[0][1][0].unknown}
    wrong += tried(stacks[0], lambda: [elsewhere.all_deployed(package.template, found),
                                       elsewhere.traces_and_networks(package.template)])
    wrong += tried(stacks[0], lambda: [elsewhere.still_not_enforced(aws, unknown)])
    first, last = stacks[0], stacks[-1]
    for proof in (lambda: updates.schema_ahead(first), lambda: updates.new_code(first, newer.result()),
                  lambda: updates.failing(first, package), lambda: updates.deleted(last)):
        wrong += tried(first, proof)
    if wrong:
        raise Failed("\n".join(["", *wrong]))


def main():
    """Deploys, walks, takes permissions away."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--functions", type=Path, required=True, help="folder of the functions' binaries")
    arguments.add_argument("--only", help="walk only steps whose name holds this, and take nothing away")
    arguments.add_argument("--lanes", type=int, default=4, help="stacks on which permissions are taken away at once")
    given = arguments.parse_args()
    with Servers() as servers:
        def stop(*_):
            servers.__exit__()
            os._exit(143)
        for told in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(told, stop)
        servers.start()
        world.roles(servers)
        model, slack = Model(), Slack()
        aws = Aws(servers)
        package = Package(aws, given.functions)
        say("servers are up, functions are packaged")
        variants = [as_on_aws, as_given] if given.only is not None else [*[as_on_aws] * given.lanes, as_given]
        # One after the other: their migrations make the same roles.
        stacks = [deployed(aws, servers, package, number, model, slack, variant)
                  for number, variant in enumerate(variants)]
        say("deployed")
        try:
            if given.only is None:
                return everything(aws, package, stacks)
            for stack in stacks:
                for step in STEPS:
                    if given.only in step.name and step.fits(stack):
                        walked(stack, step)
                        say(f"{stack.name} {step.name}")
        except Failed as error:
            raise Failed(f"{error}\n{servers.tail('ministack')}") from error


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("the deploy test needs Python 3.11")
    try:
        main()
    except Failed as error:
        sys.exit(str(error))
