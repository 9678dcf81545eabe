"""The walk: what people and services do with a deployment, step by step. Each step names the functions it goes through
and sees with its own eyes what they did; it asks nobody whether a permission is there.
"""

import time
import uuid

from client import Failed, Socket, request, slack_event, until

STEPS = []
API = "/api/portal/chat"


class Step:
    """One thing to do, and through which functions it goes."""

    def __init__(self, act, functions, once):
        self.name, self.act, self.functions, self.once = act.__name__, act, functions, once


def step(*functions, once=False):
    """Adds a step; `once`: it is slow, and walked once only, because another step goes through the same permissions."""
    def add(act):
        STEPS.append(Step(act, functions, once))
        return act
    return add


def message(socket, content):
    """Sends a message; its id."""
    ident = str(uuid.uuid4())
    socket.send({"type": "message", "id": ident, "content": content})
    return ident


def held(stack, socket):
    """A message whose answer has begun and stands still; the name of its gate."""
    gate = uuid.uuid4().hex
    message(socket, f"hold {gate}")
    socket.until("chunk")
    return gate


def connection_of(stack, act):
    """The id of the connection that `act` opens, as Redis knows it."""
    before = set(stack.redis("KEYS", "connection:*"))
    opened = act()
    new = until(lambda: set(stack.redis("KEYS", "connection:*")) - before, "the connection is registered")
    return opened, new.pop().removeprefix("connection:")


def is_empty(stack, queue):
    """Whether a queue holds nothing, seen or unseen."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = stack.aws.sqs.get_queue_attributes(QueueUrl=stack.outputs[queue], AttributeNames=names)["Attributes"]
    return all(value == "0" for value in found.values())


# ------------------------------------------------------------------------------------------------------- over the web

@step("ws-connect", "ws-auth", "ws-message", "agent")
def a_message_is_answered(stack):
    """The chat: typing, ack, pieces, the whole answer; its record leaves the queue."""
    stack.purge("TurnQueueUrl")
    with stack.member.connect(stack.member.conversation()) as socket:
        ident = message(socket, "hello")
        socket.until("ack", id=ident)
        answer = socket.until("response", in_reply_to=ident)
        kinds = [frame["type"] for frame in socket.frames]
        if answer["text"] != "You said: hello" or "typing" not in kinds or kinds.count("chunk") < 1:
            raise Failed(f"an answer of {kinds}")
    until(lambda: is_empty(stack, "TurnQueueUrl"), "the record is deleted")


@step("ws-control")
def a_ping_is_answered(stack):
    """Everything a client asks of the connection itself."""
    with stack.member.connect(stack.member.conversation()) as socket:
        socket.send({"type": "ping"})
        socket.until("pong")


@step("ws-control", "agent")
def an_answer_is_stopped(stack):
    """cancel in mid-answer: what was shown is the answer."""
    with stack.member.connect(stack.member.conversation()) as socket:
        gate = held(stack, socket)
        socket.send({"type": "cancel"})
        try:
            if socket.until("response").get("stopped") is not True:
                raise Failed("the answer was not stopped")
        finally:
            stack.model.release(gate)


@step("ws-auth", "ws-control")
def who_comes_back_gets_what_he_missed(stack):
    """Frames again from a seq on: by `auth` and by `resume`."""
    conversation = stack.member.conversation()
    with stack.member.connect(conversation) as socket:
        message(socket, "hello")
        socket.until("response")
    with stack.member.connect(conversation, last_seq=1) as socket:
        socket.until("response")
    with stack.member.connect(conversation) as socket:
        socket.send({"type": "resume", "after": 1})
        socket.until("response")


@step("ws-control", "agent")
def a_tool_runs_after_a_yes(stack):
    """The call waits, the yes wakes the agent, the answer comes."""
    with stack.member.connect(stack.member.conversation()) as socket:
        message(socket, "call search_history")
        call = socket.until("tool_confirm")
        socket.send({"type": "tool_confirm", "tool_call_id": call["tool_call_id"], "approve": True})
        socket.until("tool_result")
        socket.until("response")


@step("ws-default")
def an_unknown_frame_is_refused(stack):
    """$default says why."""
    with stack.member.connect(stack.member.conversation()) as socket:
        socket.send({"type": "nonsense"})
        socket.until("error", code="unknown_type")


@step("ws-auth")
def who_may_not_is_closed(stack):
    """A token that is none: an error, then the end."""
    with Socket(stack, stack.member.conversation()) as socket:
        socket.send({"type": "auth", "token": "none"})
        socket.until("error", code="auth_failed")
        socket.until_closed()


def in_doubt(stack, act):
    """A connection whose posts fail from now on is closed by who posts next."""
    name = f"in doubt {uuid.uuid4().hex}"
    conversation = stack.member.conversation()
    with stack.member.connect(conversation, name) as socket:
        act(conversation, socket, lambda: stack.ask_emulator(do="break", agent=name))
        socket.until_closed()


@step("ws-message")
def a_post_of_ws_message_in_doubt_closes_the_connection(stack):
    """It cannot know whether typing arrived."""
    in_doubt(stack, lambda _, socket, breaks: (breaks(), message(socket, "hello")))


@step("ws-control")
def a_post_of_ws_control_in_doubt_closes_the_connection(stack):
    """The same for a pong."""
    in_doubt(stack, lambda _, socket, breaks: (breaks(), socket.send({"type": "ping"})))


@step("ws-default")
def a_post_of_ws_default_in_doubt_closes_the_connection(stack):
    """The same for a refusal."""
    in_doubt(stack, lambda _, socket, breaks: (breaks(), socket.send({"type": "nonsense"})))


@step("agent")
def a_post_of_the_agent_in_doubt_closes_the_connection(stack):
    """The same for a piece of an answer."""
    def act(_, socket, breaks):
        gate = held(stack, socket)
        breaks()
        stack.model.release(gate)
    in_doubt(stack, act)


@step("messages-send")
def a_post_of_messages_send_in_doubt_closes_the_connection(stack):
    """The same for typing, where the message came over REST."""
    def act(conversation, _, breaks):
        breaks()
        stack.member.rest("POST", f"{API}/conversations/{conversation}/messages", {"content": "hello"}, 202)
    in_doubt(stack, act)


@step("notices")
def a_post_of_notices_in_doubt_closes_the_connection(stack):
    """The same for a notice."""
    def act(conversation, _, breaks):
        breaks()
        notice(stack, conversation, 0)
    in_doubt(stack, act)


@step("conversations-escalation")
def a_post_of_a_take_over_in_doubt_closes_the_connection(stack):
    """The same for `escalation`."""
    def act(conversation, _, breaks):
        breaks()
        take_over(stack, conversation)
    in_doubt(stack, act)


@step("conversations-reply")
def a_post_of_a_reply_in_doubt_closes_the_connection(stack):
    """The same for a human's reply."""
    def act(conversation, socket, breaks):
        take_over(stack, conversation)
        socket.until("escalation")
        breaks()
        reply(stack, conversation)
    in_doubt(stack, act)


@step("conversations-reset")
def a_post_of_a_reset_in_doubt_closes_the_connection(stack):
    """The same for the end of an answer that a reset stops."""
    def act(conversation, socket, breaks):
        message(socket, "call search_history")
        socket.until("tool_confirm")
        breaks()
        stack.member.rest("DELETE", f"{API}/conversations/{conversation}", None, 204)
    in_doubt(stack, act)


@step("ws-disconnect")
def who_hangs_up_is_forgotten(stack):
    """Redis knows the connection no more."""
    socket, ident = connection_of(stack, lambda: stack.member.connect(stack.member.conversation()))
    socket.close()
    until(lambda: not stack.redis("EXISTS", f"connection:{ident}"), "the connection is forgotten")


@step("janitor")
def a_deadline_closes_who_did_not_authenticate(stack):
    """The record of the deadline, sent without its delay, closes the connection and leaves the queue."""
    stack.purge("DeadlineQueueUrl")
    socket, ident = connection_of(stack, lambda: Socket(stack, stack.member.conversation()))
    with socket:
        stack.purge("DeadlineQueueUrl")
        body = f'{{"v":1,"connection_id":"{ident}"}}'
        stack.aws.sqs.send_message(QueueUrl=stack.outputs["DeadlineQueueUrl"], MessageBody=body)
        socket.until_closed()
    until(lambda: is_empty(stack, "DeadlineQueueUrl"), "the record is deleted")


@step("ws-connect", "janitor", once=True)
def who_says_nothing_is_closed_after_10_s(stack):
    """The same with the record that $connect sent."""
    began = time.monotonic()
    with Socket(stack, stack.member.conversation()) as socket:
        socket.until_closed(20)
    if time.monotonic() - began < 9:
        raise Failed("closed too early")


@step("janitor")
def the_schedule_wakes_a_turn_that_nobody_works_on(stack):
    """A message whose record is lost is answered after the janitor's next run."""
    mapping = stack.resource("AgentEvents")
    stack.aws.functions.update_event_source_mapping(UUID=mapping, Enabled=False)
    try:
        conversation = stack.member.conversation()
        path = f"{API}/conversations/{conversation}/messages"
        ident = stack.member.rest("POST", path, {"content": "hello"}, 202)["id"]
        stack.purge("TurnQueueUrl")
        stack.psql(f"UPDATE turns SET created_at = now() - interval '1 minute' WHERE id = '{ident}'")
    finally:
        stack.aws.functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    stack.ask_emulator(do="fire", rule=stack.resource("JanitorFunctionEveryMinute").split("|")[-1])
    until(lambda: len(stack.member.rest("GET", path)) == 2, "the answer")


@step("agent")
def what_is_no_task_is_a_dead_letter_soon(stack):
    """It is made visible again at each receive, and after the last it is in the dead-letter queue."""
    stack.purge("TurnQueueUrl")
    stack.purge("TurnDeadLetterQueueUrl")
    name = uuid.uuid4().hex
    stack.aws.sqs.send_message(QueueUrl=stack.outputs["TurnQueueUrl"], MessageBody="no task", MessageGroupId=name,
                               MessageDeduplicationId=name)
    until(lambda: not is_empty(stack, "TurnDeadLetterQueueUrl"), "the dead letter", 15)


# ----------------------------------------------------------------------------------------------------------- over REST

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
    if answer["response"]["content"] != "You said: hello":
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
    if stack.agent not in [each["id"] for each in listed]:
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
        message(socket, "call search_history")
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


# ----------------------------------------------------------------------------------------------------------- in Slack

def installed(stack):
    """A workspace of its own, connected to the tenant."""
    workspace = f"T{uuid.uuid4().hex[:10].upper()}"
    url = stack.admin.rest("GET", f"/slack/install?tenant_id={stack.tenant}")["url"]
    state = dict(pair.split("=", 1) for pair in url.split("?", 1)[1].split("&"))["state"]
    status, _ = request("GET", f"{stack.http_url}/slack/oauth/callback?code=code-{workspace}&state={state}")
    if status != 200:
        raise Failed(f"the installation ended with {status}")
    return workspace


def mention(stack, workspace, text):
    """A mention in a room of its own; the room."""
    room = f"C{uuid.uuid4().hex[:10].upper()}"
    event = {"workspace": workspace, "type": "app_mention", "user": "U00FAKEUSER1", "channel": room,
             "ts": f"{time.time():.6f}", "text": f"<@U00FAKEBOT01> {text}"}
    status = slack_event(stack, event)
    if status != 200:
        raise Failed(f"the event was answered {status}")
    return room


def said(stack, room, text):
    """Waits until this was said in a room."""
    until(lambda: text in "".join(stack.slack.said(room)), f"{text!r} in the room")


def thread(stack):
    """The conversation of the last thread of Slack."""
    return stack.psql("SELECT id FROM web_conversations WHERE channel = 'slack' ORDER BY created_at DESC LIMIT 1")


@step("slack-install", "slack-callback", "slack-events", "agent")
def slack_is_connected_and_answers(stack):
    """Installed, mentioned, announced, answered."""
    room = mention(stack, installed(stack), "hello")
    said(stack, room, "Thinking")
    said(stack, room, "You said: ")


@step("conversations-escalation")
def a_take_over_reaches_a_thread(stack):
    """What waits for a yes there is ended by the agent, whom the take-over wakes."""
    room = mention(stack, installed(stack), "call search_history")
    said(stack, room, "search_history")
    before = len(stack.slack.said(room))
    take_over(stack, thread(stack))
    until(lambda: len(stack.slack.said(room)) > before, "the end in the thread")


@step("conversations-reply")
def a_reply_reaches_a_thread(stack):
    """By the agent, whom the reply wakes."""
    room = mention(stack, installed(stack), "hello")
    said(stack, room, "You said: ")
    conversation = thread(stack)
    take_over(stack, conversation)
    reply(stack, conversation)
    said(stack, room, "a human speaks")


@step("channels-remove", "channels-list")
def a_connection_to_slack_is_removed(stack):
    """It is gone from the list of those that work."""
    installed(stack)
    listed = stack.admin.rest("GET", f"/api/portal/channels?tenant_id={stack.tenant}")
    ident = next(each["id"] for each in listed if each["status"] == "active")
    stack.admin.rest("DELETE", f"/api/portal/channels/{ident}", None, 204)
    listed = stack.admin.rest("GET", f"/api/portal/channels?tenant_id={stack.tenant}")
    if any(each["id"] == ident and each["status"] == "active" for each in listed):
        raise Failed("it is there still")
