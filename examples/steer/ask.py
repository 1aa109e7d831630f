"""Asks for a file that is not declared, and reads it once it is there."""

import json
import os
import socket

view = socket.socket(fileno=int(os.environ["TRANSOM_CONTROL_FD"]))


def call(method, **parameters):
    message = {"method": "io.transom.View." + method, "parameters": parameters}
    view.sendall(json.dumps(message).encode() + b"\0")
    reply = b""
    while not reply.endswith(b"\0"):
        reply += view.recv(65536)
    return json.loads(reply[:-1])


print(os.path.exists("blue"), call("Explain", path="work/blue")["parameters"]["text"])
host_file = os.environ["SOURCES"] + "/blue"
print(call("Update", changes=[{"add": {"name": "work/blue", "file": host_file}}]))
print(open("blue").read(), end="")
