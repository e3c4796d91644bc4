"""SIGTERM, SIGUSR1 and SIGHUP end a build with words and exit code 75, whenever they come."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mol_pipeline import cli
from mol_pipeline.contract.errors import StoppedOnRequest
from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from tests.fakes import FakeClip, write_samm_tree
from tests.in_process import invoke

CLIPS = [FakeClip(f"{s:03d}_1_1", 1, 2, 12, "Anger") for s in range(6, 12)]
SAID = "stopped on request: what is finished is kept; run again to continue"
SMALL = ["--set", "shards.videos_per_shard=1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_samm_tree(tmp_path_factory.mktemp("stop") / "root", CLIPS, real_faces=True)


def command(root, out, *options):
    words = ["build", "--dataset", "samm", "--root", root, "--out", out, *SMALL, *options]
    return [*map(str, words)]


@pytest.mark.parametrize("how", ["SIGTERM", "SIGUSR1", "SIGHUP"])
def test_a_signal_while_the_database_is_indexed(root, tmp_path, monkeypatch, how):
    def slow_index(*arguments):
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(60)

    monkeypatch.setattr(cli.build, "read_index", slow_index)
    number = getattr(signal, how)
    before = signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        result = invoke(cli.main, *command(root, tmp_path / "out"))
        assert result.exit_code == StoppedOnRequest.exit_code == 75
        assert result.stderr == f"Error: {SAID}\n"
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_under_nohup_a_terminal_that_closes_changes_nothing(root, tmp_path, monkeypatch):
    monkeypatch.setattr(
        cli.build, "read_index", lambda *arguments: os.kill(os.getpid(), signal.SIGHUP)
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(AttributeError):  # of the index that is none: the command went on
            invoke(cli.main, *command(root, tmp_path / "out"))
    finally:
        signal.signal(signal.SIGHUP, before)


def started(arguments):
    return subprocess.Popen(
        [Path(sys.executable).with_name("molprep"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_prepared(out):
    """Whether a video waits for its shard, or a shard is written."""
    return any(out.glob(".build/**/*.npz")) or any(out.glob("shard-*.h5"))


def ended(process, workers):
    """Standard error of a build that was asked to stop; all its processes are gone."""
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75, stderr
    assert stderr.count(SAID) == 1 and "Traceback" not in stderr
    assert not psutil.wait_procs(workers, timeout=10)[1]


MOMENTS = {
    "the output is just made": lambda out, process: out.is_dir(),
    "workers are being started": lambda out, process: process.children(recursive=True),
    "videos are prepared": lambda out, process: is_prepared(out),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_at_any_moment_of_a_local_build(root, tmp_path, moment):
    out = tmp_path / "out"
    process = started(command(root, out, "--workers", "1"))
    seen = psutil.Process(process.pid)
    wait_for(lambda: MOMENTS[moment](out, seen), process)
    workers = seen.children(recursive=True)
    process.send_signal(signal.SIGTERM)
    if workers:
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)  # impatience must not leave workers behind
    ended(process, workers)
    assert not (out / MANIFEST_NAME).exists()
