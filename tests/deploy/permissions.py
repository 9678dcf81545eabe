"""Takes every permission of a deployed stack away, one alone, and sees that the walk notices. It puts each back, and
sees that the same step goes through again.

What a step needs was remembered by the emulator while the whole walk went well; so which steps to try is observed, not
written down. A permission that no step needed fails the test, as does one whose steps go through without it.
"""

import time

from botocore.exceptions import ClientError

from waiting import HURRY_S, PATIENCE_S, Failed, patience
from elsewhere import TOO_MUCH, is_elsewhere
from policies import KeyPolicy

LOGGED_S = 5
HELD_BY_PROCESSES = ("rds-db:", "elasticache:", "secretsmanager:")
"""What a process asks for once and keeps: it must start anew to feel a change."""

ADMINISTRATION = {
    "kms:Create*": lambda kms, key: kms.create_grant(KeyId=key, GranteePrincipal="a", Operations=["Decrypt"]),
    "kms:Describe*": lambda kms, key: kms.describe_key(KeyId=key),
    "kms:Enable*": lambda kms, key: kms.enable_key(KeyId=key),
    "kms:List*": lambda kms, key: kms.list_key_policies(KeyId=key),
    "kms:Put*": lambda kms, key: kms.put_key_policy(KeyId=key, Policy="none"),
    "kms:Update*": lambda kms, key: kms.update_key_description(KeyId=key, Description="key"),
    "kms:Get*": lambda kms, key: kms.get_key_rotation_status(KeyId=key),
    "kms:Disable*": lambda kms, key: kms.disable_key_rotation(KeyId=key),
    "kms:TagResource": lambda kms, key: kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "b"}]),
    "kms:UntagResource": lambda kms, key: kms.untag_resource(KeyId=key, TagKeys=["a"]),
    "kms:ScheduleKeyDeletion": lambda kms, key: kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7),
    "kms:CancelKeyDeletion": lambda kms, key: kms.cancel_key_deletion(KeyId=key),
    "kms:RotateKeyOnDemand": lambda kms, key: kms.rotate_key_on_demand(KeyId=key),
}
"""A call for each right of those who look after a key."""


def cases(holders, seen):
    """Every permission, with the steps that needed it."""
    found = []
    for holder in holders:
        for permission in holder.permissions:
            if permission.action.startswith("logs:") or is_elsewhere(permission.action):
                continue
            steps = [step for step, checks in seen.items()
                     if not step.once and set(step.functions) & set(permission.functions)
                     and any(permission.covers(check) for check in checks)]
            found.append((holder, permission, steps))
    return found


def noticed(stack, holder, permission, steps):
    """Takes one permission away; says which step noticed. Fails where none did."""
    held = permission.action.startswith(HELD_BY_PROCESSES)
    since = time.time()
    holder.take(permission)
    if held:
        stack.cold(permission.functions)
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
        checks = stack.ask_emulator(do="checks", since=since)
    finally:
        patience.seconds = PATIENCE_S
        holder.put_back(permission)
        if held or "agent" not in permission.functions:
            # Also who still tries, and would go on once the permission is back; an agent's turn is let end.
            stack.cold(permission.functions)
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
        talking = logged(stack, functions)
        for each in taken:
            policies.put_back(each)
        if (talking == functions) if action in TOO_MUCH else not talking:
            yield f"{action}: {len(taken)} functions are {'not ' if talking else ''}silent without it"
        else:
            raise Failed(f"{action} was taken away, and logs were written by {sorted(talking)}")
        if missing := functions - logged(stack, functions):
            raise Failed(f"{action} is back, and no logs are written: {sorted(missing)}")


def logged(stack, functions):
    """Invokes functions with an event that is none; which of them have a log of it."""
    since = time.time()
    for function in functions:
        stack.poke(function)
    end = time.monotonic() + LOGGED_S
    while True:
        seen = {function for function in functions if stack.log_events(function, since)}
        if seen == functions or time.monotonic() > end:
            return seen
        time.sleep(0.1)


def administration_noticed(stack, key_id):
    """Takes the rights of who looks after a key away, one alone, and makes the call for it; on a twin of the key."""
    text = stack.aws.root_kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]
    twin = KeyPolicy(stack, stack.aws.root_kms.create_key(Policy=text)["KeyMetadata"]["KeyId"])
    for permission in twin.administration:
        call = ADMINISTRATION.get(permission.action)
        if not call:
            raise Failed(f"{permission}: no call is known that needs it")
        twin.take(permission)
        refused = is_refused(call, stack.aws.kms, twin.key_id)
        twin.put_back(permission)
        if not refused:
            raise Failed(f"{permission} was taken away, and nobody noticed")
        if is_refused(call, stack.aws.kms, twin.key_id):
            raise Failed(f"{permission} is back, and is refused nevertheless")
    yield f"the key's administrators miss each of {len(twin.administration)} rights"


def is_refused(call, client, key):
    """Whether a call is refused for want of a right; what else it says does not count."""
    try:
        call(client, key)
    except ClientError as error:
        return error.response["Error"]["Code"] == "AccessDeniedException"
    return False
