"""ministack, taught the checks that AWS makes and it does not. It never allows what ministack refuses.

Run in ministack's place (`python emulator.py`, same environment). What it is taught is listed in README.md, with the
reason; each rule asks ministack's own evaluator, with the policies that the stack put there. Beside that it remembers
who was allowed and refused what, and has a hatch (`POST /_deploy_test`) through which the test reads that, breaks posts
to a connection, makes a schedule fire now and a function start anew.
"""

import asyncio
import functools
import json
import os
import re
import threading
import time

import ministack.app as gateway
from ministack.core import iam_actions, iam_evaluator, lambda_runtime, responses
from ministack.services import apigateway, cloudfront, cloudwatch_logs, eventbridge, lambda_svc, s3, sqs

import doors

HATCH = "/_deploy_test"
POLLING = ("sqs:ReceiveMessage", "sqs:GetQueueAttributes")
STREAMING = ("logs:CreateLogStream", "logs:PutLogEvents")

checks = {}
broken = set()
lock, writing = threading.Lock(), threading.Lock()


def remember(principal, action, resource, allowed):
    """Remembers who (a role, or a function that is invoked) was allowed or refused what, and when last."""
    who = principal.split("/")[1] if "/" in principal else principal
    with lock:
        checks[(who, action, resource, allowed)] = time.time()
    return allowed


def role_allows(config, action, resource):
    """Whether the role of a function may do this."""
    role = config["Role"].rsplit("/", 1)[-1]
    account, region = config["FunctionArn"].split(":")[4], config["FunctionArn"].split(":")[3]
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{role}/{config['FunctionName']}",
        principal_type="AssumedRole", principal_account=account, action=action, resource_arn=resource, region=region)
    policies = iam_evaluator._gather_role_policies(role, account)
    allowed = iam_evaluator.evaluate(context, policies).decision == "Allow"
    return remember(role, action, resource, allowed)


def function_allows(function_ref, account, region, service, source_arn):
    """Whether the function's own policy lets this service invoke it for this source."""
    record, config, _ = lambda_svc._get_func_record_for_ref_in_scope(function_ref, account_id=account, region=region)
    if record is None:
        return True  # ministack's own error says more
    context = iam_evaluator.EvalContext(
        principal_arn=service, principal_type="Service", principal_account=account, action="lambda:InvokeFunction",
        resource_arn=config["FunctionArn"], region=region,
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": account})
    allowed = iam_evaluator.evaluate_resource_policy(record["policy"], context, service=service).decision == "Allow"
    return remember(config["FunctionName"], "lambda:InvokeFunction", source_arn, allowed)


def wrap(module, name):
    """Replaces a function by one that is given the old one first."""
    def replace(new):
        old = getattr(module, name)
        setattr(module, name, functools.wraps(old)(functools.partial(new, old)))
        return new
    return replace


# ------------------------------------------------------------------------------------------ what AWS checks beside

@wrap(iam_actions, "request_tag_context")
def with_encryption_context(old, service, iam_action, body, params):
    """KMS: conditions on `kms:EncryptionContext:…` see the request's context."""
    keys = old(service, iam_action, body, params)
    if service == "kms":
        context = json.loads(body or b"{}").get("EncryptionContext") or {}
        keys.update({f"kms:EncryptionContext:{name}": value for name, value in context.items()})
        keys["kms:EncryptionContextKeys"] = list(context) or None
    return keys


def integration_of(api_id, route):
    """The function behind a route, as its integration names it."""
    name = route.get("target", "").rsplit("/", 1)[-1]
    uri = apigateway._integrations.get(api_id, {}).get(name, {}).get("integrationUri", "")
    return apigateway._extract_lambda_ref_from_integration_uri(uri)


@wrap(apigateway, "_invoke_ws_lambda")
async def with_permission_for_frames(old, api_id, account, region, route, stage, connection, event, *args, **named):
    """API Gateway invokes a function only where the function's policy names the route."""
    source = f"arn:aws:execute-api:{region}:{account}:{api_id}/{stage}/{route.get('routeKey')}"
    if function_allows(integration_of(api_id, route), account, region, "apigateway.amazonaws.com", source):
        return await old(api_id, account, region, route, stage, connection, event, *args, **named)
    if event == "CONNECT":
        return {"statusCode": 500}
    return {"statusCode": 403, "body": json.dumps({"message": "Forbidden", "connectionId": connection})}


@wrap(apigateway, "_invoke_lambda_proxy")
async def with_permission_for_requests(old, integration, api_id, stage, path, method, headers, body, query,
                                       route_key="$default", *args, **named):
    """The same for the HTTP API, whose routes are named by verb and path."""
    account, region = named["owner_account_id"], named["owner_region"]
    place = route_key.replace(" ", "", 1)
    source = f"arn:aws:execute-api:{region}:{account}:{api_id}/{stage}/{place}"
    function = apigateway._extract_lambda_ref_from_integration_uri(integration.get("integrationUri", ""))
    if function_allows(function, account, region, "apigateway.amazonaws.com", source):
        return await old(integration, api_id, stage, path, method, headers, body, query, route_key, *args, **named)
    return 500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'


@wrap(eventbridge, "_dispatch_to_lambda")
def with_permission_for_schedules(old, arn, payload):
    """EventBridge invokes a function only where the function's policy names the rule."""
    rules = json.loads(payload).get("resources") or [""]
    account, region = arn.split(":")[4], arn.split(":")[3]
    if function_allows(arn, account, region, "events.amazonaws.com", rules[0]):
        old(arn, payload)


def config_of(mapping):
    """The configuration of the function that a mapping is for."""
    account, region = mapping["FunctionArn"].split(":")[4], mapping["FunctionArn"].split(":")[3]
    return lambda_svc._get_func_record_for_ref_in_scope(mapping["FunctionArn"], account_id=account, region=region)[1]


@wrap(lambda_svc, "_iter_all_esms")
def with_the_role_polling(old):
    """Lambda polls a queue with the rights of the function's role."""
    for account, region, mapping in old():
        config = config_of(mapping)
        source = mapping.get("EventSourceArn", "")
        if ":sqs:" not in source or not config or all(role_allows(config, action, source) for action in POLLING):
            yield account, region, mapping


@wrap(sqs, "_delete_messages_for_esm")
def with_the_role_deleting(old, queue_url, receipt_handles):
    """And deletes what is done with the same rights."""
    source = sqs._queues[queue_url]["attributes"]["QueueArn"]
    mappings = [
        mapping for mapping in lambda_svc._esms._data.values() if mapping.get("EventSourceArn") == source]
    if all(role_allows(config_of(mapping), "sqs:DeleteMessage", source) for mapping in mappings):
        old(queue_url, receipt_handles)


@wrap(lambda_svc, "_emit_lambda_logs")
def with_the_role_logging(old, func, *args, **named):
    """What a function logs is written with the rights of its role."""
    config = func.get("config") or func
    region, account = config["FunctionArn"].split(":")[3:5]
    group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
    known = group in cloudwatch_logs._log_groups
    arn = f"arn:aws:logs:{region}:{account}:log-group:{group}"
    if not known and not role_allows(config, "logs:CreateLogGroup", arn):
        return
    if not all(role_allows(config, action, f"{arn}:log-stream:x") for action in STREAMING):
        return
    with writing:
        old(func, *args, **named)
        # A stream of a group that functions share says whose it is.
        streams = cloudwatch_logs._log_groups[group]["streams"]
        name = next(reversed(streams))
        streams[name.replace("/[", f"/{config['FunctionName']}[")] = streams.pop(name)


@wrap(iam_actions, "extract_iam_action")
def with_the_right_to_converse(old, service, *args):
    """Bedrock's ConverseStream is allowed by the action of InvokeModelWithResponseStream."""
    action = old(service, *args)
    return "bedrock:InvokeModelWithResponseStream" if action == "bedrock:ConverseStream" else action


def asked_for(action, resource):
    """What a right is needed for: of an inference profile, the profile and its models wherever they are."""
    profile = re.fullmatch(r"(arn:aws:bedrock:[^:]+:):foundation-model/((?:eu|us|apac|global)\.(.+))", resource)
    if not profile or not action.startswith("bedrock:"):
        return [resource]
    return [f"{profile[1]}{responses.get_account_id()}:inference-profile/{profile[2]}",
            f"arn:aws:bedrock:eu-north-1::foundation-model/{profile[3]}"]


@wrap(cloudfront, "_forward_to_origin")
def with_apis_as_origins(old, origin, method, uri, *args):
    """CloudFront reaches the APIs of this ministack, which it would look for at AWS."""
    api = re.match(r"([0-9a-z]+)\.execute-api\.", origin["domain_name"])
    if api:
        origin = {**origin, "domain_name": "127.0.0.1", "protocol_policy": "http-only",
                  "http_port": int(os.environ["GATEWAY_PORT"])}
        uri = f"/_aws/execute-api/{api[1]}{uri}"
    return old(origin, method, uri, *args)


# --------------------------------------------------------------------------------------------- what the test asks for

@wrap(s3, "_cloudfront_origin_allows")
def with_memory_of_the_front(old, owner, bucket, key, *args):
    """Remembers what a bucket's policy says to CloudFront."""
    allowed = old(owner, bucket, key, *args)
    return remember("cloudfront.amazonaws.com", "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", allowed)


@wrap(iam_evaluator, "enforce")
def with_memory(old, access_key, action, service, region, resource_arn="*", service_context=None):
    """Remembers what ministack itself decides of roles."""
    for resource in asked_for(action, resource_arn):
        result = old(access_key, action, service, region, resource_arn=resource, service_context=service_context)
        if result is not None:
            break
    principal = iam_evaluator.resolve_principal(access_key or "", responses.get_account_id())
    if isinstance(principal, iam_evaluator.PrincipalInfo) and principal.type == "AssumedRole":
        for resource in asked_for(action, resource_arn):
            remember(principal.arn, action, resource, result is None)
    return result


@wrap(apigateway, "handle_connections_api")
async def with_posts_that_break(old, method, api_id, stage, connection, body, headers):
    """A post to a connection whose client calls itself so ends in a 500: it is in doubt."""
    known = apigateway._ws_connections.get(connection) or {}
    if method == "POST" and known.get("identity", {}).get("userAgent") in broken:
        return 500, {"Content-Type": "application/json"}, b'{"message":"Internal server error"}'
    return await old(method, api_id, stage, connection, body, headers)


def fire(name):
    """Makes every schedule of this name due now."""
    for (account, region, key), rule in list(eventbridge._rules._data.items()):
        if rule.get("Name") == name:
            eventbridge._rule_last_fired[(account, region, key)] = 0
    eventbridge._tick_scheduled_rules()


def answer(asked):
    """One wish of the test."""
    match asked["do"]:
        case "checks":
            with lock:
                return [list(key) for key, at in checks.items() if at >= asked["since"]]
        case "break":
            broken.add(asked["agent"])
        case "cold":
            lambda_runtime.invalidate_worker(asked["function"])
        case "fire":
            threading.Thread(target=fire, args=(asked["rule"],), daemon=True).start()
    return None


inner = gateway.app


async def app(scope, receive, send):
    """The hatch, and behind it ministack."""
    if scope["type"] != "http" or scope["path"] != HATCH:
        return await inner(scope, receive, send)
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    text = json.dumps(await asyncio.to_thread(answer, json.loads(body))).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": text})


if __name__ == "__main__":
    gateway.app = app
    doors.open_doors(remember)
    gateway.main()
