"""A whole life of a container and of a view, by the reference implementation of
varlink, which knows the interfaces from the daemon alone and checks parameters
and replies by them. Where descriptors travel, by the sockets of Python."""

import ctypes
import json
import os
import socket
import sys

import varlink

SOCKET, A, B, C, TARGET = sys.argv[1:]
HOST = "io.transom.Host"
VIEWS = "io.transom.Views"


def place(path):
    return {"path": path}


def with_descriptors(connection, method, parameters, descriptors=()):
    """Calls with descriptors; returns what is replied, and the descriptors."""
    call = json.dumps({"method": method, "parameters": parameters}).encode() + b"\0"
    socket.send_fds(connection, [call], descriptors)
    reply, received, _, _ = socket.recv_fds(connection, 1 << 16, 253)
    reply = json.loads(reply.rstrip(b"\0"))
    assert "error" not in reply, reply
    return reply["parameters"], received


def error_of(call, **parameters):
    try:
        call(**parameters)
    except varlink.VarlinkError as error:
        return error.error(), error.parameters()
    raise AssertionError("it was not refused")


def attach(mount, target):
    """move_mount(2) of a descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    move_mount, at_fdcwd, empty_path = 429, -100, 4
    result = libc.syscall(move_mount, mount, b"", at_fdcwd, target.encode(), empty_path)
    assert result == 0, os.strerror(ctypes.get_errno())


client = varlink.Client.new_with_address("unix:" + SOCKET)
client.get_interfaces()
assert {HOST, VIEWS} <= set(client.info["interfaces"]), client.info
host = client.open(HOST)
watching = client.open(HOST)

# Format, as a task that is watched.
assert "concat" in [module["name"] for module in host.ListModules()["modules"]]
name = {"name": "name", "value": "pool"}
members = [place(path) for path in (A, B, C)]
task = host.StartFormat(module="concat", resources=members, options=[name])["task"]
states = [event["task"]["state"] for event in watching.WatchTask(task=task["id"], _more=True)]
assert states[-1] == "done", states

# Probe, load what is there, offer the rest.
findings = host.Probe(module="concat", resources=members[:2])["findings"]
assert [finding["verdict"] for finding in findings] == ["member", "member"], findings
assert findings[0]["membership"]["missing"] == [2], findings
container = host.Load(resources=members[:2])["container"]
assert container["state"] == "blocked" and container["missing"] == [2], container
pool = container["id"]
error, parameters = error_of(host.CreateVolume, container=pool, name="x", bytes=1 << 20)
assert error == HOST + ".Blocked" and parameters["missing"] == [2], parameters
[container] = host.Offer(resources=members[2:])["containers"]
assert container["id"] == pool and container["state"] == "ready", container

# A volume: make, mount as a descriptor and at a path, write, count, rename.
volume = host.CreateVolume(container=pool, name="one", bytes=4 << 20)["volume"]["id"]
connection = socket.socket(socket.AF_UNIX)
connection.connect(SOCKET)
reply, [mount] = with_descriptors(connection, HOST + ".Mount", {"volume": volume})
assert reply["descriptor"] == 0 and reply["mount"].get("target") is None, reply
content = os.open("content", os.O_RDWR, dir_fd=mount)
assert os.pwrite(content, b"written", 0) == 7
os.fsync(content)
mounted = host.Mount(volume=volume, target=place(TARGET))["mount"]
with open(os.path.join(TARGET, "content"), "rb") as file:
    assert file.read(7) == b"written"
counted = host.Counters(volume=volume)["counters"]
assert counted["requests"]["LOOKUP"] > 0, counted
renamed = host.RenameVolume(volume=volume, name="other")["volume"]
assert renamed["id"] == volume and renamed["name"] == "other" and renamed["mounts"] == 2

# Refused while it is used; then unmounted, orderly.
error, parameters = error_of(host.Unload, container=pool)
assert error == HOST + ".Busy" and len(parameters["holders"]) == 2, parameters
os.close(content)
host.Unmount(mount=mounted["id"])
assert os.listdir(TARGET) == []
os.close(mount)
host.Unmount(volume=volume, mode="abort")

# What happened, from the beginning.
kinds = []
for event in watching.Events(container=pool, since=0, _more=True):
    kinds.append(event["event"]["kind"])
    if kinds.count("unmounted") == 2:
        break
assert kinds.index("blocked") < kinds.index("loaded") < kinds.index("volumeCreated"), kinds
assert "mounted" in kinds and "volumeRenamed" in kinds, kinds

# A disk of the same volume.
device = host.PublishBlock(volume=volume)["device"]
with open(device["path"], "rb") as disk:
    assert disk.read(7) == b"written"
host.WithdrawBlock(device=device["id"])

# Unload. What is gone is not found.
host.RemoveVolume(volume=volume)
host.Unload(container=pool)
assert host.Status()["containers"] == []
error, parameters = error_of(host.Unload, container=pool)
assert error == HOST + ".NotFound", parameters

# A view: its tree comes as a descriptor; it is steered while it is mounted.
manifest = {"version": 1, "inputs": [{"name": "first", "file": os.path.basename(A)}]}
created, [tree] = with_descriptors(
    connection,
    VIEWS + ".Create",
    {"manifest": manifest, "base": os.path.dirname(A), "root": 0},
    [os.open("/", os.O_PATH)],
)
view = created["view"]["id"]
attach(tree, TARGET)
assert os.listdir(TARGET) == ["first"]
views = client.open(VIEWS)
second = {"add": {"name": "second", "file": B}}
assert [listed["id"] for listed in views.List()["views"]] == [view]
assert views.Update(view=view, changes=[second])["epoch"] == 1
assert sorted(os.listdir(TARGET)) == ["first", "second"]
assert os.stat(TARGET + "/second").st_size == os.stat(B).st_size
assert "absent" in json.dumps(views.Explain(view=view, path="third")["explanation"])
error, parameters = error_of(views.Trace, view=view)
assert error == VIEWS + ".Unavailable", parameters
# It ends with the connection that made it.
connection.close()
while views.List()["views"] or os.listdir(TARGET):
    pass
