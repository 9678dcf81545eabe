"""Deploys again over a stack that works: new code, a deployment that fails, a schema that is ahead, and the end of it.
A stack must come out of each with all its functions on one code, and people must notice nothing.
"""

from steps import STEPS
from waiting import Failed

CHAT = "a_message_is_answered"


def codes(stack):
    """What each function runs."""
    return {function: stack.aws.functions.get_function_configuration(
        FunctionName=f"{stack.name}-{function}")["CodeSha256"] for function in stack.functions()}


def chats(stack):
    """The chat goes on."""
    next(each for each in STEPS if each.name == CHAT).act(stack)


def new_code(stack, package):
    """An update in place: every function has new code, and a connection that was open stays."""
    before = codes(stack)
    with stack.member.connect(stack.member.conversation()) as socket:
        stack.update(package)
        socket.until("response", in_reply_to=socket.message("hello"))
    if kept := [name for name, code in codes(stack).items() if code == before[name]]:
        raise Failed(f"an update left the old code in {kept}")
    chats(stack)
    yield "an update in place: new code everywhere, an open connection goes on"


def failing(stack, package):
    """An update whose migration fails: it is rolled back, and every function is as before."""
    before, url = codes(stack), stack.values["OwnerDatabaseUrl"]
    stack.values["OwnerDatabaseUrl"] = url.replace(stack.servers.password, "wrong")
    schema = package.template["Resources"]["SchemaMigration"]["Properties"]
    was, schema["Schema"] = schema["Schema"], "V999__one_that_fails"
    try:
        stack.update(package, "UPDATE_ROLLBACK_COMPLETE")
    finally:
        stack.values["OwnerDatabaseUrl"], schema["Schema"] = url, was
    if changed := [name for name, code in codes(stack).items() if code != before[name]]:
        raise Failed(f"a failed update left new code in {changed}")
    chats(stack)
    yield "an update whose migration fails is rolled back: the old code everywhere"


def schema_ahead(stack):
    """What a rollback does behind a migration that went through: the old code meets a newer schema, and lets it be."""
    stack.psql("INSERT INTO refinery_schema_history (version, name, applied_on, checksum) "
               "VALUES (999, 'newer', '2026-01-01T00:00:00Z', '1')")
    try:
        stack.invoke("migrate", {})
    except RuntimeError as error:
        raise Failed(f"a rollback would get stuck: {error}") from error
    finally:
        stack.psql("DELETE FROM refinery_schema_history WHERE version = 999")
    yield "an older migration lets a newer schema be"


def deleted(stack):
    """The end: the stack is gone, what people said is not."""
    stack.apply(stack.aws.cloudformation.delete_stack, None, "DELETE_COMPLETE")
    if stack.psql("SELECT count(*) > 0 FROM web_conversation_messages") != "t":
        raise Failed("deleting the stack deleted what people said")
    yield "deleted, and the database is as it was"
