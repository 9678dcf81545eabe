"""Expands template.yaml with AWS's own translator: SAM in, plain CloudFormation (JSON) out.

    python infra/expand.py [template.yaml] > expanded.json

Needs `aws-sam-translator` and no account: code and nested templates are named by a made-up bucket, parameters stay `Ref`s.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402


class ManagedPolicies:
    """Stands in for the look-up in IAM: the ARN of a managed policy follows from its name."""

    def load(self):
        names = ["AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole"]
        return {name: f"arn:aws:iam::aws:policy/service-role/{name}" for name in names}


def expand(path):
    """Returns the expansion of the template at `path`."""
    template = yaml_parse(Path(path).read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            folder = Path(resource["Properties"]["CodeUri"]).name
            resource["Properties"]["CodeUri"] = f"s3://artefacts/{folder}.zip"
        elif resource["Type"] == "AWS::CloudFormation::Stack":
            name = resource["Properties"]["TemplateURL"]
            resource["Properties"]["TemplateURL"] = f"https://artefacts.s3.amazonaws.com/{name}"
    return transform(template, {}, ManagedPolicies())


if __name__ == "__main__":
    source = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("template.yaml")
    json.dump(expand(source), sys.stdout, indent=1, default=str)
    print()
