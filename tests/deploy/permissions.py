"""Takes every permission of a deployed stack away, one alone, and sees that the walk notices. It puts each back, and
sees that the same step goes through again.

What a step needs was remembered by the emulator while the whole walk went well; so which steps to try is observed, not
written down. A permission that no step needed fails the test, as does one whose steps go through without it.
"""

import fnmatch
import json
import time
from dataclasses import dataclass, field

from client import HURRY_S, PATIENCE_S, Failed, patience

LOGGED_S = 5


@dataclass(frozen=True)
class Permission:
    """One right of one holder: an action on a resource (under a condition), or who may invoke a function from where."""

    holder: str
    functions: tuple
    action: str
    resource: str
    condition: str = "{}"
    document: str = field(default="", compare=False)

    def covers(self, check):
        """Whether a decision that the emulator remembers was about this."""
        holder, action, resource, _ = check
        return (holder == self.holder and fnmatch.fnmatch(action.lower(), self.action.lower())
                and fnmatch.fnmatchcase(resource, self.resource))

    def __str__(self):
        resource = self.resource.split(":", 5)[-1]
        condition = "" if self.condition == "{}" else f" if {self.condition}"
        return f"{self.functions[0]}: {self.action} on {resource}{condition}"


def listed(value):
    """A member that may be one or several."""
    return value if isinstance(value, list) else [value]


def conditions(condition):
    """A condition with several values for one key, value by value; any other as it is."""
    operators = [(name, key, values) for name, keys in condition.items() for key, values in keys.items()]
    if len(operators) == 1 and isinstance(operators[0][2], list):
        name, key, values = operators[0]
        return [{name: {key: value}} for value in values]
    return [condition]


def atoms(holder, functions, name, document):
    """A policy taken apart: every action on every resource."""
    found = []
    for statement in listed(document["Statement"]):
        if statement["Effect"] != "Allow" or not {"Action", "Resource"} <= set(statement):
            raise Failed(f"{holder}: this test knows only what is allowed by action and resource")
        found += [Permission(holder, functions, action, resource, json.dumps(condition), name)
                  for action in listed(statement["Action"]) for resource in listed(statement["Resource"])
                  for condition in conditions(statement.get("Condition", {}))]
    return found


def together(permissions):
    """The policy that says just this."""
    statements = []
    for each in permissions:
        statement = {"Effect": "Allow", "Action": each.action, "Resource": each.resource}
        condition = json.loads(each.condition)
        statements.append({**statement, "Condition": condition} if condition else statement)
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Policies:
    """What the roles of a stack may: read once, changed and put back."""

    def __init__(self, stack):
        self.iam, self.permissions, self.attached = stack.aws.iam, [], {}
        holders = {}
        for function in stack.functions():
            role = stack.aws.functions.get_function_configuration(FunctionName=f"{stack.name}-{function}")["Role"]
            holders.setdefault(role.rsplit("/", 1)[-1], []).append(function)
        for role in stack.resources("AWS::IAM::Role").values():
            self.read(role, tuple(holders.get(role, ["(no function)"])))

    def read(self, role, functions):
        """All policies of a role, managed ones included."""
        for name in self.iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            self.permissions += atoms(role, functions, name, document)
        for policy in self.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = self.iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
            document = self.iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]
            # Of a managed policy nothing can be taken out: from here on the role has the same in a policy of its own.
            found = atoms(role, functions, policy["PolicyName"], document["Document"])
            self.permissions += found
            self.write(role, policy["PolicyName"], found)
            self.iam.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])

    def write(self, role, name, permissions):
        """Gives a role a policy."""
        if permissions:
            self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=together(permissions))
        else:
            self.iam.delete_role_policy(RoleName=role, PolicyName=name)

    def take(self, permission):
        """Takes one away."""
        self.write(permission.holder, permission.document,
                   [each for each in self.same(permission) if each != permission])

    def put_back(self, permission):
        """As it was."""
        self.write(permission.holder, permission.document, self.same(permission))

    def same(self, permission):
        """What stands in the same policy."""
        return [each for each in self.permissions
                if (each.holder, each.document) == (permission.holder, permission.document)]


class Invocations:
    """Who may invoke the functions of a stack, by the functions' own policies."""

    def __init__(self, stack):
        self.functions, self.permissions, self.statements = stack.aws.functions, [], {}
        for function in stack.functions():
            name = f"{stack.name}-{function}"
            try:
                policy = json.loads(self.functions.get_policy(FunctionName=name)["Policy"])
            except self.functions.exceptions.ResourceNotFoundException:
                continue
            for statement in policy["Statement"]:
                source = next(iter(statement["Condition"]["ArnLike"].values()))
                permission = Permission(name, (function,), statement["Action"], source)
                self.statements[permission] = (statement["Sid"], statement["Principal"]["Service"])
                self.permissions.append(permission)

    def take(self, permission):
        """Takes one away."""
        self.functions.remove_permission(FunctionName=permission.holder, StatementId=self.statements[permission][0])

    def put_back(self, permission):
        """As it was."""
        sid, principal = self.statements[permission]
        self.functions.add_permission(FunctionName=permission.holder, StatementId=sid, Action=permission.action,
                                      Principal=principal, SourceArn=permission.resource)


def noticed(stack, holders, permission, steps):
    """Takes one permission away; the step that noticed. Fails where none did."""
    since = time.time()
    holders.take(permission)
    patience.seconds = HURRY_S
    try:
        for step in steps:
            try:
                step.act(stack)
            except Failed as error:
                why = error
                break
        else:
            tried = ", ".join(step.name for step in steps) or "no step of the walk needs it"
            raise Failed(f"{permission} was taken away, and nobody noticed: {tried}")
    finally:
        patience.seconds = PATIENCE_S
        holders.put_back(permission)
    checks = stack.ask_emulator(do="checks", since=since)
    if not any(permission.covers(check) and not check[3] for check in checks):
        raise Failed(f"{permission} was taken away, and {step.name} failed of something else: {why}")
    try:
        step.act(stack)
    except Failed as error:
        raise Failed(f"{permission} is back, and {step.name} does not go through: {error}") from error
    return f"{permission}: {step.name}: {why}"


def logging_noticed(stack, policies):
    """Takes the rights to log away, each from all functions at once, for the roles are independent; and counts logs."""
    found = [each for each in policies.permissions if each.action.startswith("logs:")]
    for action in sorted({each.action for each in found}):
        taken = [each for each in found if each.action == action]
        functions = {each.functions[0] for each in taken}
        for each in taken:
            policies.take(each)
        silent = logged(stack, functions)
        for each in taken:
            policies.put_back(each)
        if silent:
            raise Failed(f"{action} was taken away, and logs were written nevertheless: {sorted(silent)}")
        if missing := functions - logged(stack, functions):
            raise Failed(f"{action} is back, and no logs are written: {sorted(missing)}")
        yield f"{action}: {len(taken)} functions are silent without it"


def logged(stack, functions):
    """Invokes functions with an event that is none; which of them have a log then."""
    for function in functions:
        stack.forget_logs(function)
        stack.poke(function)
    end = time.monotonic() + LOGGED_S
    while True:
        seen = {function for function in functions if stack.has_log(function)}
        if seen == functions or time.monotonic() > end:
            return seen
        time.sleep(0.1)
