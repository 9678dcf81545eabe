"""What a deployed stack allows, taken apart into single permissions: of its roles, of its functions' own policies, of
its key's and its bucket's. Each can be taken away alone and put back as it was; nothing else is ever changed.
"""

import fnmatch
import json
from dataclasses import dataclass

from waiting import Failed


@dataclass(frozen=True)
class Permission:
    """One right of one holder: an action on a resource (under a condition), or who may invoke a function from where."""

    holder: str
    functions: tuple
    action: str
    resource: str
    condition: str = "{}"

    def covers(self, check):
        """Whether a decision that the emulator remembers was about this."""
        holder, action, resource, _ = check
        return (holder == self.holder and fnmatch.fnmatch(action.lower(), self.action.lower())
                and fnmatch.fnmatchcase(resource, self.resource))

    def __str__(self):
        resource = self.resource.split(":", 5)[-1]
        condition = "" if self.condition == "{}" else f" if {self.condition}"
        return f"{self.functions[0]}: {self.action} on {resource}{condition}"


def listed(value):
    """A member that may be one or several."""
    return value if isinstance(value, list) else [value]


def conditions(condition):
    """A condition with several values for one key, value by value; any other as it is."""
    operators = [(name, key, values) for name, keys in condition.items() for key, values in keys.items()]
    if len(operators) == 1 and isinstance(operators[0][2], list):
        name, key, values = operators[0]
        return [{name: {key: value}} for value in values]
    return [condition]


def atoms(holder, functions, statement, resource=None):
    """A statement taken apart: every action on every resource; of a key's or bucket's own policy, on `resource`."""
    if statement["Effect"] != "Allow" or not {"Action", "Resource"} <= set(statement):
        raise Failed(f"{holder}: this test knows only what is allowed by action and resource")
    return [Permission(holder, functions, action, each, json.dumps(condition))
            for action in listed(statement["Action"]) for each in listed(resource or statement["Resource"])
            for condition in conditions(statement.get("Condition", {}))]


def statement(permission, **more):
    """A statement that says just this."""
    said = {"Effect": "Allow", **more, "Action": permission.action, "Resource": permission.resource}
    condition = json.loads(permission.condition)
    return {**said, "Condition": condition} if condition else said


def document(statements):
    """A policy."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def functions_by_role(stack):
    """Whose role is whose."""
    holders = {}
    for function in stack.functions():
        role = stack.aws.functions.get_function_configuration(FunctionName=f"{stack.name}-{function}")["Role"]
        holders.setdefault(role.rsplit("/", 1)[-1], []).append(function)
    return {role: tuple(functions) for role, functions in holders.items()}


class Policies:
    """What the roles of a stack may. A right that stands in two policies of a role is one, and taken out of both."""

    def __init__(self, stack):
        self.iam, self.documents, self.unknown = stack.aws.iam, {}, []
        holders = functions_by_role(stack)
        for role in stack.resources("AWS::IAM::Role").values():
            self.read(role, holders.get(role, ("(no function)",)))
        found = [permission for permissions in self.documents.values() for permission in permissions]
        self.permissions = list(dict.fromkeys(found))

    def read(self, role, functions):
        """All policies of a role, managed ones included."""
        for name in self.iam.list_role_policies(RoleName=role)["PolicyNames"]:
            self.keep(role, functions, name, self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        for policy in self.iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            arn, name = policy["PolicyArn"], policy["PolicyName"]
            try:
                version = self.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            except self.iam.exceptions.NoSuchEntityException:
                self.unknown.append((functions[0], name))
                continue
            found = self.iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
            # Others have it too: from here on the role has the same in a policy of its own.
            self.write(role, name, self.keep(role, functions, name, found))
            self.iam.detach_role_policy(RoleName=role, PolicyArn=arn)

    def keep(self, role, functions, name, found):
        """Remembers what a policy says."""
        self.documents[(role, name)] = [permission for each in listed(found["Statement"])
                                        for permission in atoms(role, functions, each)]
        return self.documents[(role, name)]

    def write(self, role, name, permissions):
        """Gives a role a policy."""
        if permissions:
            policy = document([statement(each) for each in permissions])
            self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy)
        else:
            self.iam.delete_role_policy(RoleName=role, PolicyName=name)

    def take(self, permission):
        """Takes one away."""
        for (role, name), permissions in self.documents.items():
            if permission in permissions:
                self.write(role, name, [each for each in permissions if each != permission])

    def put_back(self, permission):
        """As it was."""
        for (role, name), permissions in self.documents.items():
            if permission in permissions:
                self.write(role, name, permissions)


class Invocations:
    """Who may invoke the functions of a stack, by the functions' own policies."""

    def __init__(self, stack):
        self.functions, self.permissions, self.statements = stack.aws.functions, [], {}
        for function in stack.functions():
            name = f"{stack.name}-{function}"
            try:
                policy = json.loads(self.functions.get_policy(FunctionName=name)["Policy"])
            except self.functions.exceptions.ResourceNotFoundException:
                continue
            for each in policy["Statement"]:
                source = next(iter(each["Condition"]["ArnLike"].values()))
                permission = Permission(name, (function,), each["Action"], source)
                self.statements[permission] = (each["Sid"], each["Principal"]["Service"])
                self.permissions.append(permission)

    def take(self, permission):
        """Takes one away."""
        self.functions.remove_permission(FunctionName=permission.holder, StatementId=self.statements[permission][0])

    def put_back(self, permission):
        """As it was."""
        sid, principal = self.statements[permission]
        self.functions.add_permission(FunctionName=permission.holder, StatementId=sid, Action=permission.action,
                                      Principal=principal, SourceArn=permission.resource)


class KeyPolicy:
    """Who may use a stack's key, by the key's own policy. What administrators may (the account) is apart."""

    def __init__(self, stack, key_id):
        self.key_id, self.kms = key_id, stack.aws.root_kms
        arn = self.kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
        policy = json.loads(self.kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"])
        self.permissions, self.administration, self.principals = [], [], {}
        holders = functions_by_role(stack)
        for each in policy["Statement"]:
            for principal in listed(each["Principal"]["AWS"]):
                role = principal.rsplit("/", 1)[-1]
                account = principal.endswith(":root")
                found = atoms(role, holders.get(role, ("administrators",)), each, arn)
                self.principals.update({permission: principal for permission in found})
                (self.administration if account else self.permissions).extend(found)

    def write(self, permissions):
        """Gives the key a policy."""
        said = [statement(each, Principal={"AWS": self.principals[each]}) for each in permissions]
        self.kms.put_key_policy(KeyId=self.key_id, PolicyName="default", Policy=document(said))

    def take(self, permission):
        """Takes one away."""
        self.write([each for each in self.principals if each != permission])

    def put_back(self, _):
        """As it was."""
        self.write(self.principals)


class BucketPolicy:
    """What the front may read of a bucket. What the policy denies to all is left as it is."""

    def __init__(self, stack, bucket):
        self.bucket, self.s3 = bucket, stack.aws.s3
        self.policy = json.loads(self.s3.get_bucket_policy(Bucket=bucket)["Policy"])
        self.permissions = [permission for each in self.policy["Statement"] if each["Effect"] == "Allow"
                            for permission in atoms(each["Principal"]["Service"], ("(front)",), each)]

    def take(self, _):
        """Takes all that is allowed away: it is one right."""
        if len(self.permissions) != 1:
            raise Failed("the bucket's policy allows more than one thing")
        left = [each for each in self.policy["Statement"] if each["Effect"] != "Allow"]
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=document(left))

    def put_back(self, _):
        """As it was."""
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(self.policy))


def of(stack):
    """Everything that a stack allows."""
    keys = [KeyPolicy(stack, key) for key in stack.resources("AWS::KMS::Key").values()]
    buckets = [BucketPolicy(stack, bucket) for bucket in stack.resources("AWS::S3::Bucket").values()]
    return [Policies(stack), Invocations(stack), *keys, *buckets]
