"""The walk over WebSocket, and what stands behind it: queues, schedule, closed connections."""

import time
import uuid
from contextlib import contextmanager

from client import Socket
from steps import API, HELLO, step
from waiting import Failed, until
from walk_rest import notice, reply, take_over


@contextmanager
def held(stack, socket):
    """A message whose answer has begun and stands still, until this is left."""
    gate = uuid.uuid4().hex
    socket.message(f"hold {gate}")
    try:
        socket.until("chunk")
        yield
    finally:
        stack.model.release(gate)


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


@step("ws-connect", "ws-auth", "ws-message", "agent")
def a_message_is_answered(stack):
    """The chat: typing, ack, pieces, the whole answer; its record leaves the queue."""
    stack.purge("TurnQueueUrl")
    with stack.member.connect(stack.member.conversation()) as socket:
        ident = socket.message("hello")
        socket.until("ack", id=ident)
        answer = socket.until("response", in_reply_to=ident)
        kinds = [frame["type"] for frame in socket.frames]
        if answer["text"] != HELLO or "typing" not in kinds or kinds.count("chunk") < 1:
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
        with held(stack, socket):
            socket.send({"type": "cancel"})
            if socket.until("response").get("stopped") is not True:
                raise Failed("the answer was not stopped")


@step("ws-auth", "ws-control")
def who_comes_back_gets_what_he_missed(stack):
    """Frames again from a seq on: by `auth` and by `resume`."""
    conversation = stack.member.conversation()
    with stack.member.connect(conversation) as socket:
        socket.message("hello")
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
        socket.message("call search_history")
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
    in_doubt(stack, lambda _, socket, breaks: (breaks(), socket.message("hello")))


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
        with held(stack, socket):
            breaks()
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
        socket.message("call search_history")
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
    until(lambda: not is_empty(stack, "TurnDeadLetterQueueUrl"), "the dead letter", 12)
