"""The walk over REST."""

from steps import API, HELLO, step
from waiting import Failed


@step("health")
def health_is_well(stack):
    """Postgres, Redis and the queue answer."""
    stack.member.rest("GET", "/health")


@step("rest-default")
def an_unknown_path_is_not_found(stack):
    """And says so as a problem of ours."""
    if stack.member.rest("GET", f"{API}/nothing", None, 404).get("code") != "not_found":
        raise Failed("not our 404")


@step("conversations-create", "conversations-list", "messages-list", "messages-send", "agent")
def a_message_over_rest_is_answered(stack):
    """Made, listed, written to with `wait`, read again."""
    conversation = stack.member.conversation()
    listed = stack.member.rest("GET", f"{API}/conversations?tenant_id={stack.tenant}")
    if conversation not in [each["id"] for each in listed]:
        raise Failed("the conversation is not listed")
    path = f"{API}/conversations/{conversation}/messages"
    answer = stack.member.rest("POST", f"{path}?wait=10", {"content": "hello"})
    if answer["response"]["content"] != HELLO:
        raise Failed("another answer")
    if [each["role"] for each in stack.member.rest("GET", path)] != ["user", "assistant"]:
        raise Failed("another history")


@step("messages-send")
def a_message_over_rest_is_announced(stack):
    """`typing` reaches who is connected."""
    conversation = stack.member.conversation()
    with stack.member.connect(conversation) as socket:
        path = f"{API}/conversations/{conversation}/messages"
        stack.member.rest("POST", path, {"content": "hello"}, 202)
        socket.until("typing")
        socket.until("response")


@step("agents-list", "channels-list", "usage")
def an_admin_sees_agents_channels_and_usage(stack):
    """Three lists."""
    listed = stack.member.rest("GET", f"{API}/agents?tenant_id={stack.tenant}")
    if stack.agents["Ada"] not in [each["id"] for each in listed]:
        raise Failed("the agent is not listed")
    stack.admin.rest("GET", f"/api/portal/channels?tenant_id={stack.tenant}")
    window = "from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"
    stack.admin.rest("GET", f"/api/portal/usage?tenant_id={stack.tenant}&{window}")


def notice(stack, conversation, connections):
    """A notice to a conversation that so many connections get."""
    body = {"tenant_id": stack.tenant, "conversation_id": conversation, "text": "hear, hear"}
    sent = stack.admin.rest("POST", f"{API}/notices", body, 202)["connections"]
    if sent != connections:
        raise Failed(f"{sent} connections got it")


@step("notices")
def a_notice_reaches_everyone(stack):
    """Who is connected."""
    conversation = stack.member.conversation()
    with stack.member.connect(conversation) as socket:
        notice(stack, conversation, 1)
        socket.until("notice")


@step("conversations-reset")
def a_reset_ends_what_waits(stack):
    """The answer that waits for a yes ends as stopped; then the history is empty."""
    conversation = stack.member.conversation()
    with stack.member.connect(conversation) as socket:
        socket.message("call search_history")
        socket.until("tool_confirm")
        stack.member.rest("DELETE", f"{API}/conversations/{conversation}", None, 204)
        socket.until("response", stopped=True)
    if stack.member.rest("GET", f"{API}/conversations/{conversation}/messages"):
        raise Failed("the history is not empty")


def take_over(stack, conversation):
    """A human has it from here on."""
    stack.admin.rest("PUT", f"{API}/conversations/{conversation}/escalation", {"status": "human"})


def reply(stack, conversation):
    """What the human says."""
    path = f"{API}/conversations/{conversation}/replies"
    stack.admin.rest("POST", path, {"content": "a human speaks"}, 202)


@step("conversations-escalation", "conversations-reply")
def a_human_takes_over_and_replies(stack):
    """The person sees both."""
    conversation = stack.member.conversation()
    with stack.member.connect(conversation) as socket:
        take_over(stack, conversation)
        socket.until("escalation", status="human")
        reply(stack, conversation)
        if socket.until("response").get("by") != "human":
            raise Failed("another's reply")
