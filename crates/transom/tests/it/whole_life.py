"""Drives a daemon as the reference implementation does: it knows the interfaces
from the daemon alone. The arguments are the socket and a directory with the
files `a`, `b` and `c`, and a directory `at`."""

import os
import sys

import varlink

HOST = "io.transom.Host"
VIEWS = "io.transom.Views"
MEBIBYTE = 1 << 20

socket, here = sys.argv[1:]


def place(name):
    return {"path": os.path.join(here, name)}


def refused(error, call, **parameters):
    """The parameters of the error that a call ends with."""
    try:
        call(**parameters)
    except varlink.VarlinkError as refusal:
        assert refusal.error() == error, refusal
        return refusal.parameters()
    raise AssertionError(f"{parameters} were not refused")


def watched(client, task):
    """All that is told of a task, on a connection of its own."""
    with client.open(HOST) as host:
        replies = list(host.WatchTask(task["id"], _more=True))
    assert replies[-1]["event"] == "ended", replies
    return replies[-1]["task"]


def load(host, client):
    assert "concat" in [module["name"] for module in host.ListModules()["modules"]]
    settings = [{"name": "name", "value": "pool"}, {"name": "layout", "value": "stripe"}]
    task = host.StartFormat("concat", [place(name) for name in "abc"], settings)["task"]
    ended = watched(client, task)
    assert ended["state"] == "done" and ended["done"] == ended["of"], ended

    findings = host.Probe(None, [place("a"), place("b")])["findings"]
    members = [finding for finding in findings if finding["verdict"] == "member"]
    assert [member["membership"]["index"] for member in members] == [0, 1], findings
    assert members[0]["membership"]["missing"] == [2], members

    blocked = host.Load(None, [place("a"), place("b")])["container"]
    assert blocked["state"] == "blocked" and blocked["missing"] == [2], blocked
    error = refused(HOST + ".Blocked", host.CreateVolume, container="pool", name="x", bytes=4096)
    assert error["missing"] == [2], error
    [ready] = host.Offer([place("c")])["containers"]
    assert ready["id"] == blocked["id"] and ready["state"] == "ready", ready
    return ready["id"]


def use(host, container):
    volume = host.CreateVolume(container, "first", 8 * MEBIBYTE)["volume"]["id"]
    mount = host.Mount(volume=volume, target=place("at"))["mount"]
    assert mount["target"] == os.path.join(here, "at"), mount
    content = os.urandom(MEBIBYTE)
    with open(os.path.join(here, "at/content"), "r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    counters = host.Counters(volume)["counters"]
    assert counters["requests"]["OPEN"] > 0, counters
    assert counters["bytesWritten"] >= MEBIBYTE, counters

    # Steered while it is mounted: another name, another size.
    assert host.RenameVolume(volume, "other")["volume"]["name"] == "other"
    assert host.ResizeVolume(volume, 12 * MEBIBYTE)["volume"]["id"] == volume
    assert os.stat(os.path.join(here, "at/content")).st_size == 12 * MEBIBYTE
    host.Synchronize(container)

    device = host.PublishBlock(volume, "loop", True)["device"]
    assert device["bytes"] == 12 * MEBIBYTE, device
    with open(device["path"], "rb") as disk:
        assert disk.read(MEBIBYTE) == content
    busy = refused(HOST + ".Busy", host.Unload, container=container)
    assert len(busy["holders"]) == 2, busy

    status = host.Status()
    assert status["daemon"]["memory"] > 0 and status["daemon"]["pid"] > 0, status
    assert [found["state"] for found in status["containers"]] == ["active"], status
    assert [found["name"] for found in status["volumes"]] == ["other"], status
    assert [found["id"] for found in status["mounts"]] == [mount["id"]], status
    assert [found["id"] for found in status["blockDevices"]] == [device["id"]], status
    assert [found["kind"] for found in status["tasks"]] == ["format"], status

    host.WithdrawBlock(device["id"])
    host.Unmount(mount["id"])
    assert os.listdir(os.path.join(here, "at")) == []


def steer_a_view(views):
    """The client cannot receive the tree, so it asks why what is in it is."""
    manifest = {"version": 1, "inputs": [{"name": "shown", "file": "a"}]}
    view = views.Create(name="mine", manifest=manifest, base=here, keep=True)["view"]
    assert view["files"] == 1 and view["epoch"] == 0, view
    changes = [
        {"redirect": {"name": "shown", "file": os.path.join(here, "b")}},
        {"add": {"name": "more", "file": os.path.join(here, "c")}},
    ]
    assert views.Update("mine", changes) == {"epoch": 1}
    assert os.path.join(here, "b") in views.Explain("mine", "/shown")["text"]
    assert [found["files"] for found in views.List()["views"]] == [2]
    refused(VIEWS + ".Refused", views.Update, view="mine", changes=[{"withdraw": "absent"}])
    assert views.Describe("mine")["view"]["epoch"] == 1
    views.Discard("mine")
    assert refused(VIEWS + ".NotFound", views.Describe, view="mine")["name"] == "mine"


def check_events(client, container):
    """Everything that happened is told to who asks later, in order."""
    expected = ["blocked", "loaded", "volumeCreated", "mounted", "volumeRenamed"]
    expected += ["volumeResized", "published", "withdrawn", "unmounted"]
    told = []
    with client.open(HOST) as host:
        for reply in host.Events(container=container, since=0, _more=True):
            told.append(reply["event"])
            if told[-1]["kind"] == expected[-1]:
                break
    assert [event["kind"] for event in told] == expected, told
    assert [event["sequence"] for event in told] == list(range(1, len(told) + 1)), told
    assert {event["container"] for event in told} == {container}, told


def end(host, client, container):
    jobs = [status["jobs"] for status in host.Status(container)["containers"]]
    assert [job["name"] for job in jobs[0]] == ["patrol"], jobs
    ended = watched(client, host.StartJob(container, "patrol")["task"])
    assert ended["state"] == "done" and ended["kind"] == "patrol", ended
    host.Unload(container)
    assert refused(HOST + ".NotFound", host.Unload, container=container)["name"] == container


with varlink.Client.new_with_address("unix:" + socket) as client:
    client.get_interfaces()
    with client.open(HOST) as host, client.open(VIEWS) as views:
        container = load(host, client)
        use(host, container)
        steer_a_view(views)
        check_events(client, container)
        end(host, client, container)
