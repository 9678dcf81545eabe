"""What the expanded template lets call each function, and which of it a sample event shows. It knows only the ways this
template has; another one fails the test until it is learned here.
"""
from __future__ import annotations

import json
import re
from typing import Any

Resources = dict[str, dict[str, Any]]


def of_template(resources: Resources) -> dict[str, set[str]]:
    """The triggers of every function, by its folder."""
    folders = {name: folder(resource) for name, resource in resources.items() if resource["Type"] == "AWS::Lambda::Function"}
    triggers: dict[str, set[str]] = {name: set() for name in folders.values()}
    for resource in resources.values():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind == "AWS::ApiGatewayV2::Route":
            for integration in named(properties["Target"], resources):
                for function in named(resources[integration]["Properties"]["IntegrationUri"], folders):
                    triggers[folders[function]].add(f"route {properties['RouteKey']}")
        elif kind == "AWS::Lambda::EventSourceMapping":
            queue = resources[named(properties["EventSourceArn"], resources)[0]]
            name = re.sub(r"^.*\$\{AWS::StackName\}-", "", json.dumps(queue["Properties"]["QueueName"])).strip('"}')
            for function in named(properties["FunctionName"], folders):
                triggers[folders[function]].add(f"queue {name}")
        elif kind in ("AWS::Events::Rule", "AWS::Scheduler::Schedule"):
            for function in named(properties.get("Targets") or properties["Target"], folders):
                triggers[folders[function]].add("schedule")
        elif kind == "AWS::CloudFormation::CustomResource" or kind.startswith("Custom::"):
            for function in named(properties["ServiceToken"], folders):
                triggers[folders[function]].add("custom resource")
    return triggers


def of_event(event: dict[str, Any]) -> str:
    """The trigger that sends such an event; a direct invocation where none does."""
    if records := event.get("Records"):
        return "queue " + records[0]["eventSourceARN"].rsplit(":", 1)[-1].removeprefix("konstruct-dev-")
    if event.get("source") == "aws.events":
        return "schedule"
    if "ResponseURL" in event:
        return "custom resource"
    route = event.get("requestContext", {}).get("routeKey")
    return f"route {route}" if route else "invocation"


def missing(resources: Resources, events: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Triggers without a sample, functions without any, and samples of a trigger that there is not."""
    found: list[str] = []
    for function, triggers in sorted(of_template(resources).items()):
        shown = {of_event(event) for event in events.get(function, [])}
        found += [f"events/{function}: no sample for {trigger}" for trigger in sorted(triggers - shown)]
        found += [f"events/{function}: a sample for {other}, which the template has not" for other in
                  sorted(shown - triggers - {"invocation"})]
        if not shown:
            found.append(f"events/{function}: no sample")
    return found


def folder(function: dict[str, Any]) -> str:
    """The folder in functions/: the name behind the stack's."""
    return json.dumps(function["Properties"]["FunctionName"]).split("${AWS::StackName}-")[-1].strip('"}')


def named(value: Any, known: dict[str, Any]) -> list[str]:
    """The logical ids in a value, whichever function of CloudFormation names them."""
    return [word for word in re.findall(r"\w+", json.dumps(value)) if word in known]
