"""Cluster files: what the job of each batch system says, and what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mol_pipeline.cli import main
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.settings import load_settings
from mol_pipeline.graph import BatchSettings
from mol_pipeline.graph.batch import batch_cluster, make_cluster

FILES = Path(__file__).parents[3] / "pipelines" / "cluster"
MINIMUM = ("scheduler=slurm", "interface=lo")


def job_script(name, tmp_path, *changes):
    """The job of a ready-made file, its interface and directories those of this machine."""
    settings = load_settings(
        BatchSettings,
        FILES / name,
        ("interface=lo", f"log_directory={tmp_path / 'logs'}", *changes),
    )
    with make_cluster(settings) as cluster:
        return cluster.job_script()


def test_every_ready_made_file_has_a_test():
    assert sorted(path.name for path in FILES.iterdir()) == ["lsf.yaml", "pbs.yaml", "slurm.yaml"]


@pytest.mark.parametrize(
    ("name", "directives"),
    [
        (
            "slurm.yaml",
            [
                "#SBATCH -J molprep",
                "#SBATCH --cpus-per-task=4",
                "#SBATCH --mem=8G",
                "#SBATCH -t 04:00:00",
                "#SBATCH -p short",
                "#SBATCH -A faces",
                "#SBATCH --exclusive",
            ],
        ),
        (
            "pbs.yaml",
            [
                "#PBS -N molprep",
                "#PBS -l select=1:ncpus=4:mem=8192MB",
                "#PBS -l walltime=04:00:00",
                "#PBS -q short",
                "#PBS -A faces",
                "#PBS --exclusive",
            ],
        ),
        (
            "lsf.yaml",
            [
                "#BSUB -J molprep",
                "#BSUB -n 4",
                '#BSUB -R "span[hosts=1]"',
                "#BSUB -W 04:00",
                "#BSUB -q short",
                '#BSUB -P "faces"',
                "#BSUB --exclusive",
            ],
        ),
    ],
)
def test_the_job_of_each_batch_system(name, directives, tmp_path):
    script = job_script(
        name,
        tmp_path,
        "queue=short",
        "account=faces",
        "directives=['--exclusive']",
        "prologue=['module load python/3.11']",
    )
    lines = script.splitlines()
    for directive in directives:
        assert directive in lines, script
    assert str(tmp_path / "logs") in script
    command = lines[-1]
    for words in (
        "distributed.cli.dask_worker",
        "--nthreads 1",
        "--nworkers 4",
        "--memory-limit 2.00GiB",
        "--nanny",
        "--preload mol_pipeline.graph.worker_setup",
        "--lifetime 13800s",  # 4 h less twice 5 minutes
        "--lifetime-stagger 300s",
        "--protocol tls://",
        "--tls-key",
    ):
        assert words in command, command
    assert lines.index("module load python/3.11") < lines.index(command)
    assert "export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False" in lines
    assert "export DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__LOG_LENGTH=120" in lines


def test_keys_of_the_jobs_are_for_nobody_else_and_go_with_the_cluster(tmp_path):
    settings = load_settings(BatchSettings, None, (*MINIMUM, f"log_directory={tmp_path}"))
    with make_cluster(settings) as cluster:
        key = Path(re.search(r"--tls-key (\S+)", cluster.job_script())[1])
        assert key.parent.parent == tmp_path
        assert key.parent.stat().st_mode & 0o077 == 0
        assert "PRIVATE KEY" in key.read_text()
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
    assert list(tmp_path.iterdir()) == []


def test_tls_and_site_directives_can_be_left_out(tmp_path):
    script = job_script("slurm.yaml", tmp_path, "tls=false", "skip_directives=['--mem=']")
    assert "tls:" not in script and "--tls" not in script
    assert "--mem=" not in script
    assert re.search(r"dask_worker tcp://127.0.0.1:\d+ ", script)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("maximum_job=3",), "settings: maximum_job: no such setting; did you mean maximum_jobs?"),
        (("scheduler=sge",), "scheduler: Input should be 'slurm', 'pbs' or 'lsf' (got 'sge')"),
        (("minimum_jobs=5", "maximum_jobs=3"), "maximum_jobs 3 is below minimum_jobs 5"),
        (("walltime='4h'",), "walltime: Value error, must read HH:MM:SS, e.g. 04:00:00 (got '4h')"),
        (("walltime='00:15:00'",), "walltime 00:15:00 leaves a worker no time"),
        (("stagger=soon",), "stagger: Value error, is no time"),
        (("memory=1GiB", "cores=4"), "memory 1GiB: a worker of the 4 that share it needs 450 MiB"),
        (("memory=lots",), "memory lots: is no size"),
    ],
)
def test_wrong_cluster_files_are_refused_by_name(changes, message):
    with pytest.raises(ConfigError) as refused:
        load_settings(BatchSettings, None, (*MINIMUM, *changes))
    assert message in str(refused.value)


def test_an_interface_is_asked_for_and_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="interface: Field required"):
        load_settings(BatchSettings, None, ("scheduler=slurm",))
    settings = load_settings(
        BatchSettings, None, ("scheduler=slurm", "interface=none0", f"log_directory={tmp_path}")
    )
    with (
        pytest.raises(ConfigError, match="interface none0: no scheduler can listen there"),
        make_cluster(settings),
    ):
        pytest.fail("entered without an interface")


def test_the_submit_host_may_call_its_interface_otherwise_than_the_nodes(tmp_path):
    names = ("interface=ib7", "scheduler_interface=lo", f"log_directory={tmp_path}")
    settings = load_settings(BatchSettings, None, ("scheduler=slurm", *names))
    with make_cluster(settings) as cluster:
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
        assert "--interface ib7" in cluster.job_script()


def test_a_machine_without_the_batch_system_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = load_settings(BatchSettings, None, (*MINIMUM, f"log_directory={tmp_path}"))
    with (
        pytest.raises(ConfigError, match="there is no command sbatch here"),
        batch_cluster(settings),
    ):
        pytest.fail("entered without a job")


def test_what_the_submit_command_says_is_passed_on(tmp_path, monkeypatch):
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'invalid partition specified: short' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    settings = load_settings(BatchSettings, None, (*MINIMUM, f"log_directory={tmp_path}"))
    with (
        pytest.raises(ConfigError, match=r"sbatch refuses .*invalid partition specified: short"),
        batch_cluster(settings),
    ):
        pytest.fail("entered without a job")


def test_jobs_that_never_connect_are_given_up(tmp_path, monkeypatch):
    cancelled = tmp_path / "cancelled"
    for name, body in (
        ("sbatch", "echo Submitted batch job 7"),
        ("scancel", f"echo $1 > {cancelled}"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    settings = load_settings(
        BatchSettings,
        None,
        (*MINIMUM, f"log_directory={tmp_path}", "first_worker_within=1s"),
    )
    with pytest.raises(ConfigError, match="no job connected within 1s"), batch_cluster(settings):
        pytest.fail("entered without a worker")
    assert cancelled.read_text().strip() == "7"


def test_ctrl_c_stays_ours():
    """The import of dask-jobqueue makes Ctrl-C end the program with exit code 0."""
    program = (
        "import signal; before = signal.getsignal(signal.SIGINT)\n"
        "from mol_pipeline.graph.batch import _dask_jobqueue\n"
        "print(_dask_jobqueue().__name__, signal.getsignal(signal.SIGINT) is before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["dask_jobqueue", "True"], done.stderr


def test_the_command_refuses_what_does_not_go_with_a_cluster_file(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("scheduler: slurm\ninterface: lo\nmaximum_job: 3\n")
    command = ["build", "--dataset", "samm", "--root", ".", "--out", "x", "--cluster", str(path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 3
    assert f"{path}: maximum_job: no such setting; did you mean maximum_jobs?" in result.output
    result = CliRunner().invoke(main, [*command, "--workers", "2"])
    assert result.exit_code == 2
    assert "--cluster says where the work runs: no --scheduler, no --workers" in result.output
