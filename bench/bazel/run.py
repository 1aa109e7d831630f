#!/usr/bin/env python3
"""Builds libgit2 with a real Bazel in three sandboxes, and compares them.

  bench/bazel/run.py --transom target/release/transom-sandboxfs \\
      --sandboxfs ~/.cargo/bin/sandboxfs --directory /var/tmp/bazel-bench

Needs, as root: Bazel 3 to 6 (Debian 12: `apt install bazel-bootstrap`), gcc,
cargo to fetch the sources (the crate libgit2-sys, without building it), and for
the arm `sandboxfs` the original (`cargo install sandboxfs --version 0.2.0`).

Every source is compiled twice, with and without -fPIC, by an action of its own
whose inputs are the source and all headers. Rounds are interleaved: in each, one
arm after the other builds from nothing with the same Bazel server. One more
build for each arm is traced, to count the requests that reach the file system.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
CRATE = ("libgit2-sys", "=0.18.8")
TRACEFS = pathlib.Path("/sys/kernel/tracing")
# What the build script of the crate compiles on Linux, without its https and ssh.
SOURCES = [
    "src/libgit2/*.c", "src/libgit2/transports/*.c", "src/libgit2/streams/*.c",
    "src/util/*.c", "src/util/unix/*.c", "src/util/allocators/failalloc.c",
    "src/util/allocators/stdalloc.c", "src/util/hash/collisiondetect.c",
    "src/util/hash/sha1dc/*.c", "src/util/hash/builtin.c",
    "src/util/hash/rfc6234/sha224-256.c", "deps/llhttp/*.c", "deps/xdiff/*.c",
    "deps/pcre2/*.c",
]
NOT_COMPILED = {"pcre2_fuzzsupport.c"}
INCLUDED = ["include", "src/libgit2", "src/util", "deps/llhttp", "deps/xdiff", "deps/pcre2",
            "deps/zlib"]
FEATURES = ["GIT_THREADS", "GIT_TRACE", "GIT_HTTPPARSER_BUILTIN", "GIT_USE_NSEC", "GIT_IO_POLL",
            "GIT_IO_SELECT", "GIT_USE_STAT_MTIM", "GIT_ARCH_64", "GIT_SHA1_COLLISIONDETECT",
            "GIT_SHA256_BUILTIN"]
DEFINES = [
    "GIT_REGEX_BUILTIN=1", "PCRE2_STATIC", "PCRE2_EXPORT=", "PCRE2_EXP_DECL=", "PCRE2_EXP_DEFN=",
    "PCRE2_CODE_UNIT_WIDTH=8", "SUPPORT_PCRE2_8=1", "SUPPORT_UNICODE=1", "LINK_SIZE=2",
    "HEAP_LIMIT=20000000", "MATCH_LIMIT=10000000", "MATCH_LIMIT_DEPTH=MATCH_LIMIT",
    "MAX_VARLOOKBEHIND=255", "NEWLINE_DEFAULT=2", "PARENS_NEST_LIMIT=250", "MAX_NAME_SIZE=128",
    "MAX_NAME_COUNT=10000", "SHA1DC_NO_STANDARD_INCLUDES=1",
    "'SHA1DC_CUSTOM_INCLUDE_SHA1_C=\"common.h\"'",
    "'SHA1DC_CUSTOM_INCLUDE_UBC_CHECK_C=\"common.h\"'",
]


def fetch(directory):
    """The sources of the crate, which is not built."""
    name, version = CRATE
    package = directory / "fetch"
    (package / "src").mkdir(parents=True, exist_ok=True)
    (package / "src/lib.rs").touch()
    (package / "Cargo.toml").write_text(
        f'[package]\nname = "fetch"\nedition = "2021"\n[workspace]\n'
        f'[dependencies]\n{name} = "{version}"\n')
    run = {"cwd": package, "check": True, "capture_output": True, "text": True}
    subprocess.run(["cargo", "fetch"], **run)
    metadata = json.loads(subprocess.run(["cargo", "metadata", "--format-version=1"], **run).stdout)
    manifest = next(p["manifest_path"] for p in metadata["packages"] if p["name"] == name)
    return pathlib.Path(manifest).parent / "libgit2"


def make_workspace(directory, sources, variants):
    """A workspace of the sources; returns how many actions it has, and inputs each."""
    workspace = directory / "workspace"
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir(parents=True)
    shutil.copytree(sources, workspace / "git")
    for build in workspace.rglob("BUILD*"):
        build.unlink()
    compiled = sorted({path for pattern in SOURCES for path in (workspace / "git").glob(pattern)
                       if path.name not in NOT_COMPILED})
    included = [p for p in (workspace / "git").rglob("*") if p.is_file() and p not in compiled]
    headers = [p for p in included if p.suffix in {".h", ".inc"} or p.name in NOT_COMPILED]
    (workspace / "WORKSPACE").touch()
    features = "".join(f"#define {name} 1\n" for name in FEATURES)
    (workspace / "features").mkdir()
    (workspace / "features/git2_features.h").write_text(features)
    for file in ["objects.bzl", "probes.sh"]:
        target = workspace / ("probes" if file == "probes.sh" else "") / file
        target.parent.mkdir(exist_ok=True)
        shutil.copy(HERE / file, target)
    quoted = lambda paths: json.dumps([str(p.relative_to(workspace)) for p in paths], indent=4)
    options = ([f"-Igit/{path}" for path in INCLUDED] + [f"-D{d}" for d in DEFINES]
               + ["-fvisibility=hidden", "-w"])
    (workspace / "BUILD").write_text(
        'load(":objects.bzl", "objects", "probes")\n'
        f'objects(name = "libgit2", configuration = "features/git2_features.h",\n'
        f'    sources = {quoted(compiled)},\n    headers = {quoted(headers)},\n'
        f'    options = {json.dumps(options)}, variants = {json.dumps(variants)})\n'
        'probes(name = "probe", top = "top.txt", below = "probes/below.txt",\n'
        '    elsewhere = "probes/elsewhere.txt", script = "probes/probes.sh")\n')
    for name in ["top.txt", "undeclared-top.txt", "probes/undeclared.txt", "probes/below.txt"]:
        (workspace / name).write_text(name)
    return workspace, len(variants) * len(compiled) + 1, len(headers) + 2


class Arm:
    def __init__(self, name, flags):
        self.name, self.flags = name, flags
        self.seconds, self.set_up, self.run = [], [], []
        self.requests, self.probes = {}, {}


class Bazel:
    def __init__(self, program, directory, workspace):
        self.base = [program, f"--output_user_root={directory / 'output'}"]
        self.workspace = workspace
        self.profile = directory / "profile.json"

    def command(self, *arguments):
        done = subprocess.run([*self.base, *map(str, arguments)], cwd=self.workspace,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bazel {arguments}:\n{done.stderr[-4000:]}")

    def build(self, arm, target):
        """Builds from nothing; returns the seconds it took."""
        self.command("clean")
        began = time.monotonic()
        self.command("build", "--nosandbox_debug", "--spawn_strategy=linux-sandbox",
                     f"--profile={self.profile}", *arm.flags, target)
        return time.monotonic() - began

    def phases(self):
        """Seconds that all actions together spent in phases of their sandboxes."""
        sums = {}
        for event in json.loads(self.profile.read_text())["traceEvents"]:
            if "dur" in event:
                sums[event["name"]] = sums.get(event["name"], 0) + event["dur"] / 1e6
        return sums


class Tracer:
    """Counts the requests of the FUSE file system that is mounted below `directory`."""

    def __init__(self, directory):
        self.directory, self.ended = str(directory), threading.Event()
        self.instance = TRACEFS / f"instances/bazel-bench-{os.getpid()}"
        self.connection, self.counts = None, {}

    def __enter__(self):
        self.instance.mkdir()
        (self.instance / "buffer_size_kb").write_text("16384")
        (self.instance / "events/fuse/fuse_request_send/enable").write_text("1")
        self.watch = threading.Thread(target=self.find_connection)
        self.read = threading.Thread(target=self.count)
        self.watch.start(), self.read.start()
        return self

    def find_connection(self):
        while not self.ended.is_set() and self.connection is None:
            for line in open("/proc/self/mountinfo"):
                if self.directory in line and " fuse" in line:
                    self.connection = line.split()[2].split(":")[1]
            time.sleep(0.005)

    def count(self):
        pattern = re.compile(rb"connection (\d+) .*opcode \d+ \(FUSE_(\w+)\)")
        pipe = os.open(self.instance / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK)
        rest = b""
        while True:
            try:
                *lines, rest = (rest + os.read(pipe, 1 << 20)).split(b"\n")
            except BlockingIOError:
                if self.ended.is_set():
                    break
                time.sleep(0.01)
                continue
            for line in lines:
                if found := pattern.search(line):
                    key = found[1].decode(), found[2].decode()
                    self.counts[key] = self.counts.get(key, 0) + 1
        os.close(pipe)

    def __exit__(self, *_):
        self.ended.set()
        self.watch.join(), self.read.join()
        self.instance.rmdir()

    def of_mount(self):
        return {op: n for (connection, op), n in self.counts.items()
                if connection == self.connection}


def probe(bazel, arm, workspace):
    """Runs the probes, and replaces an input while they do."""
    marks = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    volume = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    elsewhere, below = workspace / "probes/elsewhere.txt", workspace / "probes/below.txt"
    (volume / "elsewhere.txt").write_text(str(marks))
    elsewhere.unlink(missing_ok=True)
    elsewhere.symlink_to(volume / "elsewhere.txt")
    below.write_text("before")

    def replace():
        while not (marks / "first").exists():
            time.sleep(0.005)
        new = below.with_suffix(".new")
        new.write_text("after!")
        new.rename(below)
        (marks / "second").touch()

    threading.Thread(target=replace, daemon=True).start()
    bazel.build(arm, "//:probe")
    shutil.rmtree(marks), shutil.rmtree(volume)
    lines = (workspace / "bazel-bin/probes.txt").read_text().splitlines()
    return dict(line.split("\t") for line in lines)


def show(arms, actions, inputs):
    def spread(values):
        if not values:
            return "-"
        return f"{min(values):.1f} ({statistics.median(values):.1f})"

    print(f"{actions} actions, {inputs} inputs each; seconds: minimum (median) of "
          f"{len(arms[0].seconds)} interleaved rounds\n")
    rows = [["", *(arm.name for arm in arms)],
            ["whole build", *(spread(arm.seconds) for arm in arms)],
            ["making sandboxes, all actions", *(spread(arm.set_up) for arm in arms)],
            ["running commands, all actions", *(spread(arm.run) for arm in arms)],
            ["requests to the file system", *(f"{sum(a.requests.values()):,}" for a in arms)],
            ["of them READ", *(f"{a.requests.get('READ', 0):,}" for a in arms)]]
    rows += [[name, *(arm.probes[name] for arm in arms)] for name in arms[0].probes]
    rows.insert(1, ["---"] * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transom", required=True, type=pathlib.Path)
    parser.add_argument("--sandboxfs", type=pathlib.Path)
    parser.add_argument("--bazel", default="bazel")
    parser.add_argument("--directory", required=True, type=pathlib.Path,
                        help="where everything is made; not below /tmp or /dev/shm, which "
                             "Bazel mounts anew")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", action="store_true", help="compile every source once only")
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    variants = ["static"] if arguments.once else ["static", "pic"]
    workspace, actions, inputs = make_workspace(directory, fetch(directory), variants)
    through = lambda program: ["--experimental_use_sandboxfs",
                               f"--experimental_sandboxfs_path={program.resolve()}"]
    arms = [Arm("linux-sandbox", ["--noexperimental_use_sandboxfs"])]
    if arguments.sandboxfs:
        arms.append(Arm("sandboxfs 0.2.0", through(arguments.sandboxfs)))
    arms.append(Arm("transom-sandboxfs", through(arguments.transom)))
    bazel = Bazel(arguments.bazel, directory, workspace)
    for arm in arms:
        print(f"probing and tracing {arm.name}", file=sys.stderr)
        arm.probes = probe(bazel, arm, workspace)
        with Tracer(directory) as tracer:
            bazel.build(arm, "//:libgit2")
        arm.requests = tracer.of_mount()
    for number in range(arguments.rounds):
        for arm in arms:
            arm.seconds.append(bazel.build(arm, "//:libgit2"))
            print(f"round {number}, {arm.name}: {arm.seconds[-1]:.1f} s", file=sys.stderr)
            phases = bazel.phases()
            arm.set_up.append(phases.get("sandbox.createFileSystem", 0))
            arm.run.append(phases.get("subprocess.run", 0))
    bazel.command("shutdown")
    show(arms, actions, inputs)


if __name__ == "__main__":
    main()
