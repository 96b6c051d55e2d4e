# python.py - Python with the HTTP client of its standard library, on one connection.
#
# SPDX-License-Identifier: MIT-0
import http.client
import json
import os


def handler(event):
    return event


connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    reply = connection.getresponse()
    event = json.loads(reply.read())
    request_id = reply.headers["Lambda-Runtime-Aws-Request-Id"]
    response = json.dumps(handler(event)).encode()
    connection.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", response)
    connection.getresponse().read()
