"""What taking permissions away cannot show: rights that the emulator does not enforce, statements that no stack of the
test has, and rights that nobody needs. All are named here, with the reason, and what can be is held against the
template in another way. Nothing is added silently: what is not named fails, and so does what is named without need.
"""

import fnmatch
import json

from botocore.exceptions import ClientError

from waiting import Failed

NOT_ENFORCED = {
    "AWSXrayWriteOnlyAccess": "The emulator knows neither X-Ray nor this policy of AWS's; Lambda itself sends traces.",
    "ec2:*": "Lambda itself makes network interfaces, and the emulator's functions are in no network.",
}

NOT_DEPLOYED = {
    ("migrate", "secretsmanager:GetSecretValue"):
        "The owner's password of a database that the stack made: the emulator has no such database.",
}


TOO_MUCH = {
    "logs:CreateLogGroup": "AWS's own policy for functions gives it; the stack makes the group itself.",
}


def is_elsewhere(action):
    """Whether the emulator does not enforce an action."""
    return any(fnmatch.fnmatch(action, pattern) for pattern in NOT_ENFORCED)


def branches(value):
    """A value, or both branches of its condition."""
    if isinstance(value, dict) and "Fn::If" in value:
        return [each for branch in value["Fn::If"][1:] for each in branches(branch)]
    return [] if value == {"Ref": "AWS::NoValue"} else [value]


def functions_of(template):
    """The template's functions, by the names of their folders."""
    return {each["Properties"]["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"): each["Properties"]
            for each in template["Resources"].values() if each["Type"] == "AWS::Lambda::Function"}


def role_of(template, function):
    """A function's role."""
    return template["Resources"][function["Role"]["Fn::GetAtt"][0]]["Properties"]


def allowed_by(template):
    """Every function with every action that a statement of the template may give it, whatever the conditions."""
    found = set()
    for name, function in functions_of(template).items():
        role = role_of(template, function)
        documents = [each["PolicyDocument"] for policy in role.get("Policies", []) for each in branches(policy)]
        for policy in role.get("ManagedPolicyArns", []):
            for each in branches(policy):
                if isinstance(each, dict) and "Ref" in each:
                    documents.append(template["Resources"][each["Ref"]]["Properties"]["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                actions = statement["Action"]
                found |= {(name, action) for action in ([actions] if isinstance(actions, str) else actions)}
    return found


def all_deployed(template, permissions):
    """Fails where a statement of the template is on no stack: behind a condition that none of them fulfils."""
    deployed = {(function, each.action) for each in permissions for function in each.functions}
    missing = allowed_by(template) - deployed
    if missing != set(NOT_DEPLOYED):
        raise Failed(f"on no stack, or wrongly named as such in elsewhere.py: {sorted(missing ^ set(NOT_DEPLOYED))}")
    return f"every statement is on a stack, but {len(missing)}"


def traces_and_networks(template):
    """Who may send traces or make network interfaces is who traces or is in a network, by the template."""
    functions = functions_of(template)
    tracing = {name for name, each in functions.items() if each.get("TracingConfig", {}).get("Mode") == "Active"}
    in_network = {name for name, each in functions.items() if "VpcConfig" in each}
    for policy, needing in (("AWSXrayWriteOnlyAccess", tracing), ("AWSLambdaVPCAccessExecutionRole", in_network)):
        having = {name for name, each in functions.items()
                  if policy in json.dumps(role_of(template, each).get("ManagedPolicyArns", []), default=str)}
        if having != needing:
            raise Failed(f"{policy} without need, or missing: {sorted(having ^ needing)}")
    return f"{len(tracing)} functions may send traces, {len(in_network)} may be in a network, no other"


def still_not_enforced(aws, unknown):
    """The proof of NOT_ENFORCED: the emulator knows the one policy not, and asks nobody for the other right."""
    policies = {name for name in NOT_ENFORCED if ":" not in name}
    if unknown != policies:
        raise Failed(f"the emulator knows other policies of AWS's than elsewhere.py says: {sorted(unknown ^ policies)}")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = aws.iam.create_role(RoleName="probe", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    try:
        # On AWS: "The provided execution role does not have permissions to call CreateNetworkInterface on EC2".
        aws.functions.create_function(
            FunctionName="probe", Role=role, Runtime="provided.al2023", Handler="bootstrap",
            Code={"ZipFile": b"PK\5\6" + bytes(18)},
            VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})
    except ClientError as error:
        raise Failed(f"the emulator looks after network interfaces now: {error}") from error
    aws.functions.delete_function(FunctionName="probe")
    return "the emulator enforces no more than elsewhere.py says"
