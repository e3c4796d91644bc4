"""Jobs that die, wait and are replaced, where the commands of SLURM run each job right here."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mol_pipeline.cli import main
from mol_pipeline.contract.errors import ConfigError, StageError
from mol_pipeline.contract.settings import load_settings
from mol_pipeline.graph import BatchSettings, job_supply, job_watch
from mol_pipeline.graph.batch import batch_cluster, make_cluster
from mol_pipeline.graph.job_script import ENDED, log_directives, shell_path
from mol_pipeline.graph.job_watch import JobWatch, jobs_in, last_lines
from tests import fake_slurm
from tests.fakes import FakeClip, write_samm_tree
from tests.in_process import invoke

ODD = "my lab's $data é"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    home = fake_slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    monkeypatch.setattr(job_watch, "LOOK_EVERY", 1.0)
    yield home
    for path in home.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(path.read_text()), signal.SIGKILL)


def settings_of(directory, **changes):
    listed = {"scheduler": "slurm", "interface": "lo", "log_directory": directory, **changes}
    return load_settings(
        BatchSettings, None, tuple(f"{name}={value}" for name, value in listed.items())
    )


def pythons(directory):
    return {
        "a wrong interpreter": ({"python": "/no/such/python"}, 127, "/no/such/python"),
        "a missing module": (
            {"python": f"{directory}/bare-python"},
            1,
            "No module named",
        ),
        "a prologue that fails": (
            {"prologue": '["echo module python/9 is unknown >&2", "exit 3"]'},
            3,
            "module python/9 is unknown",
        ),
    }


@pytest.mark.parametrize("why", list(pythons("")))
@pytest.mark.parametrize("answers", [True, False], ids=["squeue answers", "squeue is broken"])
def test_a_job_that_dies_at_once_is_named_with_its_log(slurm, tmp_path, why, answers):
    bare = tmp_path / "bare-python"  # an interpreter without anything installed
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    if not answers:
        (slurm / "squeue is broken").touch()
    changes, code, said = pythons(tmp_path)[why]
    begun = time.monotonic()
    with (
        pytest.raises(ConfigError) as died,
        batch_cluster(settings_of(tmp_path / "logs", **changes)),
    ):
        pytest.fail("entered without a worker")
    message = str(died.value)
    assert message.startswith(f"job 101 ended with exit code {code}; its log ")
    assert f"{tmp_path}/logs/molprep-101.err ends: " in message
    assert said in message
    assert time.monotonic() - begun < 60


def test_a_job_that_waits_is_not_dead(slurm, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("mol_pipeline.graph.batch.TELL_AFTER", 1.0)
    (slurm / "queue is full").touch()
    with (
        pytest.raises(ConfigError, match=r"no job connected within 6s \(job 101 PENDING"),
        batch_cluster(settings_of(tmp_path / "logs", first_worker_within="6s")),
    ):
        pytest.fail("entered without a worker")
    assert "waiting for the first job: job 101 PENDING (Resources)" in caplog.text
    assert (slurm / "101.cancelled").exists()


def test_a_stop_signal_cancels_jobs_that_wait(slurm, tmp_path):
    (slurm / "queue is full").touch()
    site = tmp_path / "site.yaml"
    site.write_text(f"scheduler: slurm\ninterface: lo\nlog_directory: {tmp_path}/logs\n")
    root = write_samm_tree(tmp_path / "root", [FakeClip("006_1_1", 1, 2, 3)])
    command = ["build", "--dataset", "samm", "--root", root, "--out", tmp_path / "out"]
    program = Path(sys.executable).with_name("molprep")
    build = subprocess.Popen(
        [program, *command, "--cluster", site], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (slurm / "101.pending").exists():
        assert build.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    build.send_signal(signal.SIGTERM)
    _, stderr = build.communicate(timeout=60)
    assert build.returncode == 75, stderr
    assert "stopped on request: what is finished is kept" in stderr and "Traceback" not in stderr
    assert (slurm / "101.cancelled").exists()
    assert not list((tmp_path / "logs").glob(".keys-*"))


PROGRAMS = {
    "molprep": """#!{python}
import os, pathlib, signal, sys, time
def stop(*_):
    sys.exit({code})
signal.signal(signal.SIGTERM, stop)
pathlib.Path("almost").write_text(repr(sys.argv))
os.replace("almost", "ready")  # whoever sees the file finds it whole
time.sleep(60)
""",
    "scontrol": '#!/bin/sh\necho "$@" >> requeued\n',
}


@pytest.mark.parametrize(
    ("how", "code", "requeued"),
    [("USR1", 75, True), ("USR1", 0, False), ("USR1", 6, False), ("TERM", 75, False)],
)
def test_the_batch_script_queues_itself_again_only_if_it_was_asked_and_has_not_finished(
    tmp_path, how, code, requeued
):
    """What stands in for `molprep` ends as it would; `tests/slurm` runs the real one."""
    lab = tmp_path / ODD
    for name, text in PROGRAMS.items():
        path = lab / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(python=sys.executable, code=code) if "{" in text else text)
        path.chmod(0o755)
    script = Path(__file__).parents[3] / "pipelines" / "slurm" / "build.sbatch"
    job = subprocess.Popen(
        ["bash", script, "--out", "the shards"],
        cwd=lab,
        env={"PATH": f"{lab}/bin:/usr/bin:/bin", "SLURM_JOB_ID": "7"},
    )
    deadline = time.monotonic() + 30
    while not (lab / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if how == "TERM":  # to every process of a job that somebody cancelled
        psutil.Process(job.pid).children()[0].terminate()
    else:
        job.send_signal(signal.SIGUSR1)
    assert job.wait(30) == code
    assert "'--out', 'the shards'" in (lab / "ready").read_text()
    assert (lab / "requeued").exists() == requeued


def listening(process):
    return {
        connection.laddr.ip
        for one in [process, *process.children(recursive=True)]
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_jobs_that_keep_dying_end_the_build(slurm, tmp_path, monkeypatch):
    """The first job is well, then the disk of the nodes fills up."""
    monkeypatch.setattr(job_supply, "CERTAINLY_LOST", "1s")
    monkeypatch.setattr(job_supply, "PAUSE", 0.0)
    full = tmp_path / "full"
    scratch = tmp_path / "scratch"
    settings = settings_of(
        tmp_path / "logs",
        prologue=f'["[ ! -e {full} ] || {{ echo disk full >&2; exit 9; }}"]',
        scratch_directory=scratch,
        maximum_jobs=1,
    )
    with batch_cluster(settings) as (_, check):
        check()
        job = psutil.Process(int((slurm / "101.pid").read_text()))
        assert listening(job) == {"127.0.0.1"}
        (made,) = scratch.iterdir()
        assert made.stat().st_mode & 0o077 == 0
        full.touch()
        subprocess.run(["scancel", "101"], check=True)
        died = wait_for_failure(check)
    assert isinstance(died, StageError)
    assert "its log" in str(died) and "ends: disk full; it is number 3 in a row" in str(died)
    assert "run again to continue" in str(died)
    deadline = time.monotonic() + 10
    while any(scratch.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(scratch.iterdir())


def wait_for_failure(check):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            check()
        except (ConfigError, StageError) as error:
            return error
        time.sleep(0.1)
    raise AssertionError("nothing was noticed")


def test_a_build_in_a_folder_with_an_odd_name(slurm, tmp_path, monkeypatch):
    """Every path that a job script can hold has spaces, quotes, a `$` and an accent in it."""
    lab = tmp_path / ODD
    root = write_samm_tree(
        lab / "root", [FakeClip("006_1_1", 1, 2, 3, shift_px=1)], real_faces=True
    )
    python = lab / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    site = lab / "site.yaml"
    # Relative paths are of the directory in which the build was started.
    site.write_text(
        "scheduler: slurm\ninterface: lo\nlog_directory: the logs\npython: ./python\n"
        "scratch_directory: the scratch\nmaximum_jobs: 1\n"
    )
    monkeypatch.chdir(lab)
    monkeypatch.setenv("data", "expanded")
    command = ["build", "--dataset", "samm", "--root", root, "--out", "the shards"]
    command += ["--set", "sampling.frames=2", "--cluster", site]
    result = invoke(main, *command)
    assert result.exit_code == 0, result.stderr
    assert invoke(main, "verify", lab / "the shards").exit_code == 0
    assert {path.name for path in (lab / "the logs").iterdir()} == {
        "molprep-101.err",
        "molprep-101.out",
    }
    assert (lab / "the scratch").is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {ODD, "slurm"}  # no half of a path


@pytest.mark.parametrize("system", ["slurm", "pbs", "lsf"])
def test_the_script_of_every_system_is_sound_and_names_odd_paths_whole(system, tmp_path):
    logs = tmp_path / ODD / 'a "quoted" one'
    settings = settings_of(
        logs,
        scheduler=system,
        python=str(tmp_path / ODD / "python"),
        scratch_directory=str(tmp_path / ODD / "scratch"),
    )
    with make_cluster(settings) as cluster:
        script = cluster.job_script()
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)
    # Executed, with a Python that tells its words.
    python = tmp_path / ODD / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, cwd=tmp_path)
    words = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == f"{ENDED} 0"
    for option in ("--tls-ca-file", "--tls-cert", "--tls-key"):
        assert words[words.index(option) + 1].startswith(f"{logs}/.keys-")
    local = Path(words[words.index("--local-directory") + 1])
    assert local.parent == tmp_path / ODD / "scratch"
    assert not local.exists()  # it went with the job


def test_directives_are_quoted_only_where_they_must(tmp_path):
    assert log_directives("slurm", Path("/data/logs")) == [
        "#SBATCH -e /data/logs/molprep-%J.err",
        "#SBATCH -o /data/logs/molprep-%J.out",
    ]
    assert log_directives("slurm", Path('/my "lab"/50%'))[0] == (
        '#SBATCH -e "/my \\"lab\\"/50%%/molprep-%J.err"'
    )
    assert log_directives("pbs", Path("/my lab"))[0] == '#PBS -e "/my lab/"'
    assert log_directives("lsf", Path("/my lab"))[1] == '#BSUB -o "/my lab/molprep-%J.out"'


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        (None, "/of/the/node"),
        ("$SCRATCH", "/a node's disk"),
        ("${SCRATCH}/my $HOME", "/a node's disk/my $HOME"),
        ("/fixed/$SCRATCH", "/fixed/$SCRATCH"),
        ("~/mol", str(Path("~/mol").expanduser())),
        ("$1/x", None),
    ],
)
def test_a_scratch_directory_may_begin_with_a_variable_of_the_node(path, expanded):
    word = shell_path(path, '"/of/the/node"')
    environment = {**os.environ, "SCRATCH": "/a node's disk"}
    said = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, text=True, env=environment
    )
    assert said.stdout == (str(Path.cwd() / path) if expanded is None else expanded)


def test_what_the_queues_list_is_understood():
    assert jobs_in("slurm", "7 PENDING (Resources)\n8 RUNNING (None)\n9 COMPLETING (None)\n") == {
        "7": "PENDING (Resources)",
        "8": "RUNNING (None)",
    }
    qstat = """
head:
                                                            Req'd  Req'd   Elap
Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time
--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----
12.head         me       workq    molprep      4711   1   4    8gb 04:00 R 00:01
13.head         me       workq    molprep       --    1   4    8gb 04:00 Q   --
14.head         me       workq    molprep      4712   1   4    8gb 04:00 C 00:00
"""
    assert jobs_in("pbs", qstat) == {"12": "R", "13": "Q"}
    assert jobs_in("lsf", "21 RUN\n22 PEND\n23 EXIT\n") == {"21": "RUN", "22": "PEND"}


def test_a_log_over_the_network_is_waited_for_and_a_young_job_is_asked_for_twice(tmp_path):
    watch = JobWatch("slurm", tmp_path)
    assert watch.look(["7", "17"], {"17": "PENDING"}, 0.0) == []
    assert watch.look(["7"], {"7": "RUNNING"}, 6.0) == []  # it was only not listed yet
    assert watch.look(["7"], {}, 12.0) == []
    assert watch.look(["7"], {}, 18.0) == []  # its log may still come
    (ended,) = watch.look(["7"], {}, 28.0)
    assert str(ended) == "job 7 ended, and left no log"
    (tmp_path / "molprep-17.err").write_text("of another job\n")
    (tmp_path / "molprep-7.out").write_text("")
    (tmp_path / "molprep-7.err").write_text(f"one\n\ntwo   words\n{ENDED} 4\n")
    (ended,) = watch.look(["7"], {}, 40.0)
    assert str(ended) == (
        f"job 7 ended with exit code 4; its log {tmp_path}/molprep-7.err ends: one | two words"
    )
    # A job that was queued again has the mark of its first try in its log.
    assert watch.look(["7"], {"7": "PENDING"}, 50.0) == []
    assert watch.look(["7"], None, 50.0) == [ended]


def test_a_long_log_is_quoted_in_few_words():
    text = "".join(f"{'x' * 300} {number}\n" for number in range(50))
    assert len(last_lines(text)) <= job_watch.QUOTED_LETTERS
    assert last_lines(text).endswith(" 49")
    assert re.fullmatch(r"", last_lines("\n \n"))
