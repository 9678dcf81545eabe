"""The walk through Slack."""

import time
import uuid

from client import slack_event
from steps import step
from waiting import Failed, request, until
from walk_rest import reply, take_over


def installed(stack):
    """A workspace of its own, connected to the tenant."""
    workspace = f"T{uuid.uuid4().hex[:10].upper()}"
    url = stack.admin.rest("GET", f"/slack/install?tenant_id={stack.tenant}")["url"]
    state = dict(pair.split("=", 1) for pair in url.split("?", 1)[1].split("&"))["state"]
    path = f"/slack/oauth/callback?code=code-{workspace}&state={state}"
    status, _ = request("GET", stack.http_url + path, None, stack.headers)
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
