"""What a step of the walk is, and the list of all; the steps themselves are in walk_*.py. A step names the functions it
goes through and sees with its own eyes what they did; it asks nobody whether a permission is there.
"""

STEPS = []
API = "/api/portal/chat"
HELLO = "You said: hello"


class Step:
    """One thing to do, and through which functions it goes."""

    def __init__(self, act, functions, once, where):
        self.name, self.act, self.functions, self.once, self.where = act.__name__, act, functions, once, where

    def fits(self, stack):
        """Whether a stack has what the step is about."""
        return all(stack.values.get(name) == value for name, value in self.where.items())


def step(*functions, once=False, **where):
    """Adds a step, for stacks with these parameters. `once`: it is slow, and another step needs the same rights."""
    def add(act):
        STEPS.append(Step(act, functions, once, where))
        return act
    return add
