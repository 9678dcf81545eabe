"""The template, deployed to ministack by CloudFormation: packaging, parameters, create, update, logs. It changes
nothing in the template but where code lies.
"""

import hashlib
import io
import json
import logging
import sys
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config

from servers import CACHE_NAME, DATABASE_ID, REGION
from waiting import Failed, request

logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns of figures that nobody collects
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "infra"))
from expand import expand  # noqa: E402

BUCKET = "artefacts"
STAGE = "live"
READY_S = 180
ISSUER, AUDIENCE = "https://id.example.com/", "konstruct"
ORIGIN = "https://portal.example.com"
JWT_SECRET = "a secret of this test, no less than 32 bytes"
SIGNING_SECRET = "what Slack signs with, in this test"
ORIGIN_SECRET = "what-the-front-adds-to-every-request"


class Aws:
    """Clients of an administrator; root only makes the administrator."""

    def __init__(self, servers):
        self.endpoint = f"http://127.0.0.1:{servers.aws_port}"
        self.keys = {"aws_access_key_id": "AKIADEPLOYTEST", "aws_secret_access_key": servers.password}
        self.root_kms = self.client("kms")
        iam = self.client("iam")
        iam.create_user(UserName="administrator")
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.put_user_policy(UserName="administrator", PolicyName="everything", PolicyDocument=json.dumps(everything))
        key = iam.create_access_key(UserName="administrator")["AccessKey"]
        self.keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        for name in ("iam", "s3", "cloudformation", "lambda", "logs", "kms", "sqs", "secretsmanager"):
            setattr(self, name.replace("lambda", "functions"), self.client(name))
        # Buckets are reached by TLS alone. There is none here, and it counts as if a proxy had ended it.
        self.s3.meta.events.register("before-send.s3", self.by_tls)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})

    @staticmethod
    def by_tls(request, **_):
        """Says that a request came by TLS."""
        request.headers["X-Forwarded-Proto"] = "https"

    def client(self, service):
        """One client."""
        config = Config(region_name=REGION, retries={"max_attempts": 1}, max_pool_connections=50,
                        s3={"addressing_style": "path"})
        return boto3.client(service, endpoint_url=self.endpoint, config=config, **self.keys)


class Package:
    """What `sam package` makes: every function's zip and the templates that name them, in the bucket."""

    def __init__(self, aws, functions, mark=""):
        self.aws, self.functions = aws, functions
        self.template = self.packaged(ROOT / "infra" / "template.yaml", functions, mark)

    def packaged(self, path, functions, mark):
        """A template as CloudFormation gets it: expanded, with code and nested templates where they lie now."""
        template = expand(path)
        resources = template["Resources"].values()
        code = [each["Properties"]["Code"] for each in resources if each["Type"] == "AWS::Lambda::Function"]
        names = sorted({each["S3Key"].removesuffix(".zip") for each in code})
        with ThreadPoolExecutor(4) as pool:
            keys = dict(zip(names, pool.map(lambda name: self.upload(functions / name, mark), names)))
        for each in code:
            each["S3Bucket"], each["S3Key"] = BUCKET, keys[each["S3Key"].removesuffix(".zip")]
        for each in resources:
            if each["Type"] == "AWS::CloudFormation::Stack":
                name = each["Properties"]["TemplateURL"].rsplit("/", 1)[-1]
                each["Properties"]["TemplateURL"] = self.url(self.packaged(path.parent / name, functions, mark))
        return template

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

    def url(self, template=None):
        """Where a template lies."""
        text = json.dumps(template or self.template, default=str).encode()
        key = f"{hashlib.sha256(text).hexdigest()}.json"
        self.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=text)
        return f"{self.aws.endpoint}/{BUCKET}/{key}"


def common(servers, model, slack):
    """Parameters of every stack."""
    return {
        "StageName": STAGE, "Network": "none", "Database": "given", "Cache": "given", "Watch": "none",
        "SocketAccessLogs": "given", "JwtIssuer": ISSUER, "JwtAudience": AUDIENCE, "JwtSecret": JWT_SECRET,
        "AllowedOrigins": ORIGIN, "OpenAiBaseUrl": f"{model.url}/v1", "LlmModel": "stub", "BedrockRegion": REGION,
        "OutboundExceptions": model.url.removeprefix("http://"),
        "SlackApiBaseUrl": f"{slack.url}/api", "SlackClientId": "client", "SlackClientSecret": "client secret",
        "SlackSigningSecret": SIGNING_SECRET, "TurnLeaseMs": "5000",
    }


def as_on_aws(servers, key_id):
    """All that the emulator can have is made by the stack, and reached by IAM alone."""
    return {"DatabaseAuth": "iam", "DatabaseResourceId": DATABASE_ID, "RedisAuth": "iam", "CacheName": CACHE_NAME,
            "TlsRoots": "native", "TenantKey": "create", "ModelSecret": "create", "Edge": "create",
            "OriginSecrets": ORIGIN_SECRET}


def as_given(servers, key_id):
    """All that can be given is given: passwords in URLs, a key that is there."""
    return {"DatabaseAuth": "password", "RedisAuth": "password", "TenantKey": "given", "SecretsKmsKeyId": key_id,
            "ModelSecret": "none", "Edge": "none"}


class Stack:
    """One deployment, with a database of its own."""

    def __init__(self, aws, servers, number, model, slack, variant):
        self.name = self.database = f"kt{number}"
        self.aws, self.servers, self.number, self.model, self.slack = aws, servers, number, model, slack
        self.outputs, self.variant, self.stack_id = {}, variant, None
        servers.psql(f"CREATE DATABASE {self.database} OWNER konstruct_owner")
        key_id = aws.kms.create_key(Description=self.name)["KeyMetadata"]["KeyId"]
        self.values = {**common(servers, model, slack), **variant(servers, key_id)}
        by_iam = self.values["DatabaseAuth"] == "iam"
        roles = {"Database": "app", "ChannelsDatabase": "channels", "AgentDatabase": "agent",
                 "PlatformDatabase": "platform"}
        for parameter, role in roles.items():
            self.values[f"{parameter}Url"] = servers.postgres_url(f"konstruct_{role}", self.database, by_iam)
        self.values["OwnerDatabaseUrl"] = servers.postgres_url("konstruct_owner", self.database)
        self.values["RedisUrl"] = servers.redis_url(number, self.values["RedisAuth"] == "iam")
        secret = self.values.get("OriginSecrets")
        self.headers = {"x-konstruct-origin": secret} if secret else {}

    def deploy(self, package):
        """Creates the stack; then, in place, gives the functions the Management API's address, which is known now."""
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
        given = {}
        if package:
            given = {"TemplateURL": package.url(), "Capabilities": ["CAPABILITY_IAM"],
                     "Parameters": [{"ParameterKey": key, "ParameterValue": value}
                                    for key, value in self.values.items()]}
        ident = operation(StackName=self.name, **given).get("StackId", self.stack_id)
        self.stack_id = ident
        end = time.monotonic() + READY_S
        while True:
            stack = self.aws.cloudformation.describe_stacks(StackName=ident)["Stacks"][0]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            if time.monotonic() > end:
                raise Failed(f"{self.name}: still {stack['StackStatus']}")
            time.sleep(0.05)
        if stack["StackStatus"] != expected:
            raise Failed(f"{self.name}: {stack['StackStatus']}, not {expected}\n{self.failures()}")
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}

    def failures(self):
        """Why an operation failed."""
        events = self.aws.cloudformation.describe_stack_events(StackName=self.stack_id)["StackEvents"]
        return "\n".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in events
                         if "FAILED" in event.get("ResourceStatus", ""))

    def resource(self, logical_id):
        """The physical id of a resource."""
        found = self.aws.cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return found["StackResourceDetail"]["PhysicalResourceId"]

    def resources(self, kind, stack=None):
        """Logical and physical ids of all resources of a type, those of nested stacks included."""
        pages = self.aws.cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack or self.name)
        found = {}
        for each in [each for page in pages for each in page["StackResourceSummaries"]]:
            if each["ResourceType"] == kind:
                found[each["LogicalResourceId"]] = each["PhysicalResourceId"]
            elif each["ResourceType"] == "AWS::CloudFormation::Stack":
                found.update(self.resources(kind, each["PhysicalResourceId"]))
        return found

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

    def cold(self, functions):
        """Ends functions' processes: the next invocation starts anew."""
        for function in functions:
            self.ask_emulator(do="cold", function=f"{self.name}-{function}")

    def operator(self, command, **arguments):
        """One command of an operator, by way of the function that owns the schema; its answer."""
        answer = self.invoke("migrate", {"admin": {"command": command, **arguments}})
        if isinstance(answer, dict) and "error" in answer:
            raise Failed(f"{command}: {answer['error']}")
        return answer

    def front(self, path):
        """What CloudFront answers."""
        domain = next(iter(self.resources("AWS::CloudFront::Distribution").values()))
        domain = self.aws.client("cloudfront").get_distribution(Id=domain)["Distribution"]["DomainName"]
        return request("GET", f"{self.aws.endpoint}{path}", None, {"Host": domain, "X-Forwarded-Proto": "https"})

    def poke(self, function):
        """Invokes a function with an event that is none, and does not care what it says."""
        self.aws.functions.invoke(FunctionName=f"{self.name}-{function}", Payload=b"{}")

    def log_events(self, function, since=0):
        """What a function logged from a time on, in the group that all share."""
        pages = self.aws.logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/konstruct/{self.name}", startTime=int(since * 1000))
        return [event["message"].rstrip() for page in pages for event in page["events"]
                if f"/{self.name}-{function}[" in event["logStreamName"]]

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
        """The last of what functions logged from a time on, to find a failure with; it holds no text of anybody."""
        lines = [f"{function}: {line}" for function in functions for line in self.log_events(function, since)
                 if not line.startswith(("START ", "END ", "REPORT "))]
        return "\n".join(lines[-60:])
