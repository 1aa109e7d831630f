#!/usr/bin/env python3
"""Cancels builds of a real Bazel in every way, and sees that nothing stays.

  bench/bazel/cancel.py --transom target/release/transom-sandboxfs \\
      --directory /var/tmp/bazel-bench

After each, no mount and no process may be left, and the next build has to work.
Only what was killed together with its caretaker leaves a mount, until then. Needs what run.py needs.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import time

import run

# How long anything may take to be gone.
PATIENCE_SECONDS = 60
BOTH = "kill -9 of the file system and of its caretaker"


def pids(name, directory):
    """Processes whose name begins like that, and whose arguments name the directory."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        program = os.path.basename(arguments[0].decode(errors="replace"))
        if program.startswith(name) and any(str(directory).encode() in a for a in arguments[1:]):
            found.append(int(process.name))
    return found


def mounts(directory):
    return [line for line in open("/proc/self/mountinfo") if str(directory) in line]


def until(what, holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.05)


def is_caretaker(pid):
    return b"--caretaker" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()


def kill(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transom", required=True, type=pathlib.Path)
    parser.add_argument("--bazel", default="bazel")
    parser.add_argument("--directory", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    workspace, _, _ = run.make_workspace(directory, run.fetch(directory), ["static"])
    bazel = run.Bazel(arguments.bazel, directory, workspace)
    arm = run.Arm("transom-sandboxfs", [
        "--experimental_use_sandboxfs",
        f"--experimental_sandboxfs_path={arguments.transom.resolve()}"])
    ours = arguments.transom.name
    ways = [
        ("Ctrl-C", lambda client: client.send_signal(signal.SIGINT)),
        ("kill -9 of the file system", lambda _: kill(
            pid for pid in pids(ours, directory) if not is_caretaker(pid))),
        ("kill -9 of the Bazel server", lambda client: (
            kill(pids("bazel(", directory)), client.kill())),
        # Here the next build finds a dead mount.
        (BOTH, lambda _: kill(sorted(pids(ours, directory), key=is_caretaker, reverse=True))),
    ]
    for name, end in ways:
        bazel.command("clean")
        client = subprocess.Popen(
            [*bazel.base, "build", "--nosandbox_debug", "--spawn_strategy=linux-sandbox",
             *arm.flags, "//:libgit2"],
            cwd=workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("the build is under way", lambda: pids("linux-sandbox", directory))
        end(client)
        until(f"the client ends after {name}", lambda: client.poll() is not None)
        if name != BOTH:
            until(f"no mount is left after {name}", lambda: not mounts(directory))
        until(f"no process is left after {name}",
              lambda: not pids(ours, directory) and not pids("linux-sandbox", directory))
        probes = run.probe(bazel, arm, workspace)
        if set(probes.values()) != {"good"}:
            raise SystemExit(f"the build after {name} differs: {probes}")
        until(f"no mount is left in the end after {name}", lambda: not mounts(directory))
        print(f"{name}: nothing is left, and the next build works", flush=True)
    bazel.command("shutdown")


if __name__ == "__main__":
    main()
