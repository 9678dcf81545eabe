"""The walk past models, tools and their keys, and through the front."""

import json
import uuid

from client import Socket
from steps import API, step
from waiting import Failed, request


def asked(stack, agent, content, person=None):
    """What an agent answers, over REST."""
    person = person or stack.member
    path = f"{API}/conversations/{person.conversation(agent)}/messages?wait=10"
    answer = person.rest("POST", path, {"content": content})
    if "response" not in answer:
        raise Failed("no answer")
    return answer["response"]["content"]


@step("agent", BedrockRegion="eu-central-1")
def a_model_of_bedrock_answers(stack):
    """Asked with the rights of the agent's role."""
    asked(stack, "on bedrock", "hello")


@step("agent", BedrockRegion="eu-central-1")
def an_inference_profile_of_bedrock_answers(stack):
    """The same where Bedrock chooses the region: both profile and model are asked for."""
    asked(stack, "by profile", "hello")


@step("agent", ModelSecret="create")
def the_platforms_key_comes_from_its_secret(stack):
    """An operator puts it there; an agent that starts anew shows it to the model."""
    key = f"sk-{uuid.uuid4().hex}"
    secret = json.dumps({"openai_api_key": key})
    stack.aws.secretsmanager.put_secret_value(SecretId=stack.resource("ModelKeys"), SecretString=secret)
    stack.cold(["agent"])
    asked(stack, "Ada", "hello")
    if key not in stack.model.keys:
        raise Failed("the model saw another key")


@step("agent", "migrate")
def a_tenants_own_key_is_sealed_and_opened(stack):
    """An operator gives it, and the model sees it."""
    key = f"sk-{uuid.uuid4().hex}"
    stack.operator("key set", tenant="own", provider="openai", key=key)
    asked(stack, "Own", "hello", stack.owner)
    if key not in stack.model.keys:
        raise Failed("the model saw another key")


@step("agent", "migrate")
def a_tools_key_is_sealed_and_opened(stack):
    """An operator gives it, and the server of tools sees it."""
    key = f"sk-{uuid.uuid4().hex}"
    stack.operator("key set", tenant="test", server="stub", key=key)
    asked(stack, "Ada", "call stub_echo")
    if key not in stack.model.keys:
        raise Failed("the server of tools saw another key")


@step("(front)", Edge="create")
def the_portal_is_served(stack):
    """From the bucket, by CloudFront."""
    bucket = next(iter(stack.resources("AWS::S3::Bucket").values()))
    stack.aws.s3.put_object(Bucket=bucket, Key="index.html", Body=b"the portal", ContentType="text/html")
    status, text = stack.front("/")
    if (status, text) != (200, "the portal"):
        raise Failed(f"the front answers {status}")


@step("health", Edge="create")
def the_front_leads_to_the_api(stack):
    """With the header that the API demands."""
    status, answer = stack.front("/health")
    if status != 200:
        raise Failed(f"the front answers {status} {answer}")


@step("agents-list", "ws-connect", Edge="create")
def nobody_goes_past_the_front(stack):
    """Without that header all is refused."""
    status, _ = request("GET", f"{stack.http_url}{API}/agents?tenant_id={stack.tenant}")
    if status != 403:
        raise Failed(f"past the front: {status}")
    try:
        Socket(stack, stack.member.conversation(), headers={}).close()
    except Failed:
        return
    raise Failed("past the front: connected")
