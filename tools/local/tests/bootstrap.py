#!/usr/bin/env python3
"""A function for the tests of the function host: speaks the Runtime API and does what its event says."""
import http.client
import json
import os
import time
import urllib.parse

api = urllib.parse.urlparse(os.environ["AWS_LAMBDA_RUNTIME_API"])
connection = http.client.HTTPConnection(api.hostname, api.port)
base = f"{api.path}/2018-06-01/runtime/invocation"
while True:
    connection.request("GET", f"{base}/next")
    response = connection.getresponse()
    event = json.loads(response.read())
    headers = {name.lower(): value for name, value in response.getheaders()}
    if "exit" in event:
        os._exit(event["exit"])
    time.sleep(event.get("sleep", 0))
    answer = {"pid": os.getpid(), "event": event, "headers": headers, "environment": dict(os.environ)}
    outcome = "response"
    if "fail" in event:
        outcome, answer = "error", {"errorType": event["fail"], "errorMessage": "as told", "stackTrace": []}
    connection.request("POST", f"{base}/{headers['lambda-runtime-aws-request-id']}/{outcome}", json.dumps(answer))
    connection.getresponse().read()
