"""What the tests on a real SLURM share; they are skipped where no SLURM answers."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "pipelines" / "slurm"
JOINED = Path("/sys/class/net/mol-bridge").exists()
"""Whether install.sh made two nodes with networks of their own."""
NODES = 2 if JOINED else 1
BINARIES = Path(sys.executable).parent


def slurm(*arguments, check=True):
    """Standard output of a command of SLURM."""
    done = subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, timeout=60, check=check
    )
    return done.stdout.strip()


def no_slurm():
    """Why these tests cannot run, or None."""
    if shutil.which("sinfo") is None:
        return "no SLURM here; tests/slurm/install.sh installs one"
    done = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=60)
    if done.returncode:
        return f"SLURM does not answer ({done.stderr.strip()[:200]})"
    return None


def pytest_collection_modifyitems(items):
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    reason = no_slurm() if here else None
    for item in here:
        item.add_marker(pytest.mark.slurm)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def visible_programs():
    """Jobs inherit the environment: the programs of this environment come first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{BINARIES}:{os.environ['PATH']}")
        yield


@pytest.fixture(autouse=True)
def clean_queue():
    """No job of a test outlives it."""
    before = set(jobs())
    yield
    left = set(jobs()) - before
    if left:
        slurm("scancel", *left, check=False)
    wait_until(lambda: not set(jobs()) - before, 60, "cancelled jobs to end")


def jobs():
    """Numbers of the jobs that wait or run."""
    return slurm("squeue", "--noheader", "--array", "--format=%i").split()


def state(job):
    """State of a job, also shortly after its end."""
    shown = slurm("scontrol", "show", "job", "--oneliner", job)
    return [words.partition("JobState=")[2].split()[0] for words in shown.splitlines()]


def wait_until(condition, seconds, what):
    """Fail if a condition does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.3)


def wait_for_end(job, seconds=180):
    """States in which a job, and every task of an array, ended."""
    wait_until(
        lambda: not [one for one in jobs() if one.split("_")[0] == str(job)], seconds, f"job {job}"
    )
    return set(state(job))


def start_again_soon(job):
    """Wait until a job is queued again, and spare it most of the two minutes that SLURM waits.

    Not all of them: at once, the node still refuses the job as the one that it has just ended.
    """
    wait_until(lambda: "Restarts=1" in slurm("scontrol", "show", "job", job), 60, "the requeue")
    time.sleep(2)
    slurm("scontrol", "update", f"jobid={job}", "starttime=now+5")
