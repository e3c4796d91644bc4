"""Carry out the steps of a Dockerfile without a container engine, then run the demo in the result.

    sudo python docker/prove.py docker/prep.Dockerfile [--root DIR] [--bind DIR] [-- COMMAND]

For Debian, as root, with debootstrap. Each stage starts as a copy of a fresh Debian with Python
3.11, which stands for the base image; RUN, COPY, WORKDIR, ENV and USER are done in it by chroot,
in the order of the file. COMMAND then runs in the last stage, as its user; without one the demo
is drawn, built and verified. pip reaches its index as outside: variables PIP_*, the file of
PIP_CONFIG_FILE and folders named by --bind are there while a step runs, and leave no trace.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates"
"""What the base image has and a bare Debian has not."""

KERNEL = (Path("/proc"), Path("/dev"), Path("/dev/shm"))
"""What a container engine gives to every container."""

DEMO = (
    "molprep demo database --layout samm --subjects 1 --seed 0",
    "molprep build --dataset samm --root database --out shards --workers 2 "
    "--set alignment.reference=video",
    "molprep verify shards",
)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Name and argument of each instruction; continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, argument = line.strip().partition(" ")
        if name:
            yield name.upper(), argument.strip()


class Stage:
    """A file system that grows by the steps of one stage."""

    def __init__(self, root: Path, base: Path, shared: list[Path]) -> None:
        self.root = root
        self.shared = shared
        self.directory = Path("/")
        self.user = 0
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": "/root"}
        subprocess.run(["cp", "--archive", base, root], check=True)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")

    def inside(self, path: str) -> Path:
        """Where a path of the image lies outside."""
        return self.root / (self.directory / path).relative_to("/")

    def copy(self, words: list[str], stages: dict[str, "Stage"], context: Path) -> None:
        """COPY: from the context, or with --from out of an earlier stage."""
        source = context
        if words[0].startswith("--from="):
            source = stages[words.pop(0).partition("=")[2]].root
        *names, target = words
        place = self.inside(target)
        for name in names:
            path = source / name.lstrip("/")
            into = place / path.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            # Of a folder Docker copies the content.
            subprocess.run(["cp", "--archive", "--no-target-directory", path, into], check=True)

    def run(self, command: str) -> None:
        """RUN, or a command of the finished image.

        Raises:
            CalledProcessError: If it fails.
        """
        variables = {
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
            **{
                name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")
            },
            **self.environment,
        }
        with contextlib.ExitStack() as stack:
            for path in [*KERNEL, *self.shared]:
                stack.enter_context(bound(path, self.root))
            if "PIP_CONFIG_FILE" in os.environ:
                stack.enter_context(bound(Path(os.environ["PIP_CONFIG_FILE"]), self.root))
            self.inside(".").mkdir(parents=True, exist_ok=True)
            subprocess.run(
                [
                    *("chroot", f"--userspec={self.user}:{self.user}", self.root, "/bin/sh", "-c"),
                    f"cd {shlex.quote(str(self.directory))} && {command}",
                ],
                env=variables,
                check=True,
            )


@contextlib.contextmanager
def bound(path: Path, root: Path) -> Iterator[None]:
    """A file or folder of this machine, visible below `root` at the same place."""
    place = root / path.relative_to("/")
    made = not place.exists()
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif made:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    subprocess.run(["mount", "--bind", path, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)
        if made:
            place.rmdir() if path.is_dir() else place.unlink()


def follow(dockerfile: Path, work: Path, base: Path, shared: list[Path]) -> Stage:
    """Do every step of a Dockerfile; returns its last stage."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for name, argument in instructions(dockerfile.read_text()):
        start = time.monotonic()
        if name == "FROM":
            label = argument.partition(" AS ")[2] or f"stage-{len(stages)}"
            stage = stages[label] = Stage(work / label, base, shared)
        elif stage is None:
            raise SystemExit(f"{dockerfile}: {name} before FROM")
        elif name == "RUN":
            stage.run(argument)
        elif name == "COPY":
            stage.copy(shlex.split(argument), stages, Path.cwd())
        elif name == "WORKDIR":
            stage.directory /= argument
            stage.inside(".").mkdir(parents=True, exist_ok=True)
        elif name == "ENV":
            for word in shlex.split(argument):
                key, _, value = word.partition("=")
                stage.environment[key] = value.replace("$PATH", stage.environment["PATH"])
        elif name == "USER":
            stage.user = int(argument.partition(":")[0])
            stage.environment["HOME"] = "/tmp"
        elif name not in {"LABEL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}:
            raise SystemExit(f"{dockerfile}: {name} is not known to prove.py; add it there")
        print(f"{time.monotonic() - start:7.1f} s  {name} {argument[:90]}", flush=True)
    if stage is None:
        raise SystemExit(f"{dockerfile}: has no FROM")
    return stage


def main() -> None:
    """Base, steps, commands, each with its time."""
    arguments, _, commands = " ".join(map(shlex.quote, sys.argv[1:])).partition(" -- ")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dockerfile", type=Path)
    parser.add_argument("--root", type=Path, default=Path("/var/tmp/mol-image"))
    parser.add_argument("--bind", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    options = parser.parse_args(shlex.split(arguments))
    if os.geteuid() != 0:
        raise SystemExit("prove.py: must be root (it uses chroot and mount)")
    base = options.root / "base"
    if not (base / "usr/bin/python").exists():
        shutil.rmtree(options.root, ignore_errors=True)
        base.mkdir(parents=True)
        subprocess.run(
            [
                *("debootstrap", "--variant=minbase", f"--include={PACKAGES}"),
                *("bookworm", base, options.mirror),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    for old in options.root.iterdir():
        if old != base:
            shutil.rmtree(old)
    stage = follow(options.dockerfile, options.root, base, options.bind)
    added = size_mb(stage.root) - size_mb(base)
    print(f"{added:7.0f} MB on top of the base", flush=True)
    for command in [commands] if commands else DEMO:
        start = time.monotonic()
        stage.run(command)
        print(f"{time.monotonic() - start:7.1f} s  {command}", flush=True)


def size_mb(root: Path) -> float:
    """Bytes of a file system, in megabytes."""
    done = subprocess.run(
        ["du", "--summarize", "--one-file-system", "--block-size=1", root],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[0]) / 1e6


if __name__ == "__main__":
    main()
