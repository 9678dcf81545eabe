"""The template, deployed to ministack by CloudFormation: packaging, parameters, create, update, logs. It changes nothing
in the template but where code lies.
"""

import hashlib
import io
import json
import sys
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config

from servers import ACCOUNT, REGION

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "artefacts"
STAGE = "live"
READY_S = 180
ISSUER, AUDIENCE = "https://id.example.com/", "konstruct"
ORIGIN = "https://portal.example.com"
JWT_SECRET = "a secret of this test, no less than 32 bytes"
SIGNING_SECRET = "what Slack signs with, in this test"


class Aws:
    """Clients of an administrator; root only makes the administrator."""

    def __init__(self, servers):
        self.endpoint = f"http://127.0.0.1:{servers.aws_port}"
        self.keys = {"aws_access_key_id": "AKIADEPLOYTEST", "aws_secret_access_key": servers.password}
        iam = self.client("iam")
        iam.create_user(UserName="administrator")
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.put_user_policy(UserName="administrator", PolicyName="everything", PolicyDocument=json.dumps(everything))
        key = iam.create_access_key(UserName="administrator")["AccessKey"]
        self.keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        for name in ("iam", "s3", "cloudformation", "lambda", "logs", "kms", "sqs", "events"):
            setattr(self, name.replace("lambda", "functions"), self.client(name))
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    def client(self, service):
        """One client."""
        config = Config(region_name=REGION, retries={"max_attempts": 1}, max_pool_connections=50,
                        s3={"addressing_style": "path"})
        return boto3.client(service, endpoint_url=self.endpoint, config=config, **self.keys)


class Package:
    """What `sam package` makes: every function's zip and the template that names them, in the bucket."""

    def __init__(self, aws, functions, mark=""):
        self.aws = aws
        sys.path.insert(0, str(ROOT / "infra"))
        from expand import expand
        self.template = expand(ROOT / "infra" / "template.yaml")
        code = [resource["Properties"]["Code"] for resource in self.template["Resources"].values()
                if resource["Type"] == "AWS::Lambda::Function"]
        names = sorted({each["S3Key"].removesuffix(".zip") for each in code})
        with ThreadPoolExecutor(4) as pool:
            keys = dict(zip(names, pool.map(lambda name: self.upload(functions / name, mark), names)))
        for each in code:
            each["S3Bucket"], each["S3Key"] = BUCKET, keys[each["S3Key"].removesuffix(".zip")]

    def upload(self, binary, mark):
        """One function, under the name of its content; `mark` makes a content of its own."""
        if binary.is_dir():
            binary = binary / "bootstrap"
        code = binary.read_bytes()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, code)
            if mark:
                archive.writestr(zipfile.ZipInfo("mark"), mark)
        key = f"{hashlib.sha256(packed.getvalue()).hexdigest()}.zip"
        self.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=packed.getvalue())
        return key

    def url(self):
        """Where the template lies."""
        text = json.dumps(self.template, default=str).encode()
        key = f"{hashlib.sha256(text).hexdigest()}.json"
        self.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=text)
        return f"{self.aws.endpoint}/{BUCKET}/{key}"


class Stack:
    """One deployment, with a database of its own."""

    def __init__(self, aws, servers, name, number, model, slack):
        self.aws, self.servers, self.name, self.database = aws, servers, name, name
        self.model, self.slack, self.number = model, slack, number
        self.outputs, self.made_groups = {}, None
        servers.psql(f"CREATE DATABASE {name} OWNER konstruct_owner")
        self.key_id = aws.kms.create_key(Description=name)["KeyMetadata"]["KeyId"]
        self.values = {
            "StageName": STAGE,
            "DatabaseUrl": servers.postgres_url("konstruct_app", name),
            "ChannelsDatabaseUrl": servers.postgres_url("konstruct_channels", name),
            "AgentDatabaseUrl": servers.postgres_url("konstruct_agent", name),
            "PlatformDatabaseUrl": servers.postgres_url("konstruct_platform", name),
            "OwnerDatabaseUrl": servers.postgres_url("konstruct_owner", name),
            "RedisUrl": f"redis://127.0.0.1:{servers.redis_port}/{number}",
            "JwtIssuer": ISSUER, "JwtAudience": AUDIENCE, "JwtSecret": JWT_SECRET, "AllowedOrigins": ORIGIN,
            "OpenAiBaseUrl": f"{model.url}/v1", "LlmModel": "stub",
            "SlackApiBaseUrl": f"{slack.url}/api", "SlackClientId": "client", "SlackClientSecret": "client secret",
            "SlackSigningSecret": SIGNING_SECRET, "SecretsKmsKeyId": self.key_id,
        }

    def deploy(self, package):
        """Creates the stack; then, in place, gives the functions the address of the Management API, which is known now."""
        self.apply(self.aws.cloudformation.create_stack, package, "CREATE_COMPLETE")
        api = self.resource("WebSocketApi")
        self.values["ManagementUrl"] = f"{self.aws.endpoint}/_aws/execute-api/{api}/{STAGE}"
        self.ws_url = f"{self.values['ManagementUrl'].replace('http', 'ws', 1)}"
        self.http_url = f"{self.aws.endpoint}/_aws/execute-api/{self.resource('HttpApi')}"
        self.update(package)

    def update(self, package, expected="UPDATE_COMPLETE"):
        """Deploys again, in place."""
        self.apply(self.aws.cloudformation.update_stack, package, expected)

    def apply(self, operation, package, expected):
        """One operation, and how it ends."""
        declared = package.template.get("Parameters", {})
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in self.values.items()
                      if key in declared]
        operation(StackName=self.name, TemplateURL=package.url(), Parameters=parameters,
                  Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"])
        end = time.monotonic() + READY_S
        while True:
            stack = self.aws.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name}: still {stack['StackStatus']}")
            time.sleep(0.05)
        if stack["StackStatus"] != expected:
            raise RuntimeError(f"{self.name}: {stack['StackStatus']}, not {expected}\n{self.failures()}")
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}

    def failures(self):
        """Why an operation failed."""
        events = self.aws.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return "\n".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in events
                         if "FAILED" in event.get("ResourceStatus", ""))

    def resource(self, logical_id):
        """The physical id of a resource."""
        found = self.aws.cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return found["StackResourceDetail"]["PhysicalResourceId"]

    def resources(self, kind):
        """Logical and physical ids of all resources of a type."""
        pages = self.aws.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for page in pages
                for each in page["StackResourceSummaries"] if each["ResourceType"] == kind}

    def functions(self):
        """The functions, by the names of their folders."""
        return sorted(name.removeprefix(f"{self.name}-") for name in self.resources("AWS::Lambda::Function").values())

    def invoke(self, function, event):
        """Invokes a function as an operator would."""
        answer = self.aws.functions.invoke(FunctionName=f"{self.name}-{function}", Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        if answer.get("FunctionError"):
            raise RuntimeError(f"{function}: {payload}")
        return payload

    def poke(self, function):
        """Invokes a function with an event that is none, and does not care what it says."""
        self.aws.functions.invoke(FunctionName=f"{self.name}-{function}", Payload=b"{}")

    def forget_logs(self, function):
        """Deletes a function's log group; one that the stack made itself is made again."""
        group = f"/aws/lambda/{self.name}-{function}"
        try:
            self.aws.logs.delete_log_group(logGroupName=group)
        except self.aws.logs.exceptions.ResourceNotFoundException:
            pass
        if group in self.log_groups():
            self.aws.logs.create_log_group(logGroupName=group)

    def log_groups(self):
        """The log groups that the stack made."""
        if self.made_groups is None:
            self.made_groups = set(self.resources("AWS::Logs::LogGroup").values())
        return self.made_groups

    def has_log(self, function):
        """Whether a function has logged something."""
        try:
            return bool(self.aws.logs.filter_log_events(logGroupName=f"/aws/lambda/{self.name}-{function}")["events"])
        except self.aws.logs.exceptions.ResourceNotFoundException:
            return False

    def psql(self, sql):
        """Runs SQL in the stack's database as superuser."""
        return self.servers.psql(sql, self.database)

    def redis(self, *words):
        """One command to the stack's Redis; its answer."""
        return self.servers.redis(self.number, *words)

    def purge(self, queue):
        """Empties a queue, by the name of its output."""
        self.aws.sqs.purge_queue(QueueUrl=self.outputs[queue])

    def ask_emulator(self, **wish):
        """What only the emulator can do (emulator.py, its door)."""
        asked = urllib.request.Request(f"{self.aws.endpoint}/_deploy_test", json.dumps(wish).encode())
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.loads(answer.read())

    def logs(self, functions, since):
        """What functions logged from a time on; it holds no text of anybody."""
        lines = []
        for function in functions:
            try:
                events = self.aws.logs.filter_log_events(logGroupName=f"/aws/lambda/{self.name}-{function}",
                                                         startTime=int(since * 1000))["events"]
            except self.aws.logs.exceptions.ResourceNotFoundException:
                continue
            lines += [f"{function}: {event['message'].rstrip()}" for event in events
                      if not event["message"].startswith(("START ", "END ", "REPORT "))]
        return "\n".join(lines[-60:])
