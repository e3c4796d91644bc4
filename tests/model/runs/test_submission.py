"""Batch scripts of `moltrain submit`: what they say, and what is refused."""

import subprocess
from pathlib import Path

import pytest

from mol_model.cli import main
from mol_model.runs.slurm import (
    SCRIPT_NAME,
    TRAIN_COMMAND,
    LosoJobs,
    count_folds,
    fold_groups,
    loso_script,
)
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.settings import load_settings
from tests import fake_slurm
from tests.in_process import invoke
from tests.model.shard_fixture import write_shards

READY_MADE = Path(__file__).parents[3] / "pipelines" / "slurm" / SCRIPT_NAME


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), subjects=5)


def run(*arguments):
    return invoke(main, "submit", *arguments)


@pytest.mark.parametrize(
    ("folds", "per_task", "groups"),
    [
        (28, 7, ["0-6", "7-13", "14-20", "21-27"]),
        (15, 7, ["0-6", "7-13", "14"]),
        (3, 1, ["0", "1", "2"]),
        (3, 9, ["0-2"]),
    ],
)
def test_groups_cover_every_fold_once(folds, per_task, groups):
    assert fold_groups(folds, per_task) == groups


def test_the_folds_are_those_of_the_plan(shards, tmp_path):
    assert count_folds(LosoJobs(shards=(shards,), out=tmp_path)) == 5


def test_a_dry_run_prints_the_script_and_writes_nothing(shards, tmp_path):
    out = tmp_path / "runs/five people"
    result = run(
        *("--shards", shards, "--out", out, "--preset", "tiny", "--classes", "3"),
        *("--folds-per-task", "2", "--partition", "gpu", "--time", "1-00:00:00", "--at-once", "2"),
        *("--set", "training.steps=6", "--setup", "module load python/3.11", "--dry-run"),
    )
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    for line in (
        "#SBATCH --partition=gpu",
        "#SBATCH --time=1-00:00:00",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --signal=USR1@120",
        "#SBATCH --requeue",
        "groups=(0-1 2-3 4)",
        "module load python/3.11",
        "#   array=$(sbatch --parsable --array=0-2%2 loso-array.sbatch)",
    ):
        assert line in lines, result.output
    assert (
        f"    moltrain {TRAIN_COMMAND} --shards {shards} --out '{out}' --preset tiny "
        '--classes 3 --set training.steps=6 "${folds[@]}"'
    ) in lines
    assert f'#SBATCH --output="{out}.slurm/%x-%j.log"' in lines
    assert not any("account" in line for line in lines)
    assert list(tmp_path.iterdir()) == []
    subprocess.run(["bash", "-n"], input=result.output, text=True, check=True)


def test_both_jobs_are_submitted_and_the_second_waits(shards, tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho "41;cluster"\n')
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    result = run("--shards", shards, "--out", tmp_path / "run", "--folds-per-task", "2")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("array 41: 3 tasks; then job 41 pools")
    script = tmp_path / "run.slurm" / SCRIPT_NAME
    assert calls.read_text().splitlines() == [
        f"--parsable --array=0-2 {script}",
        f"--parsable --dependency=afterok:41 --kill-on-invalid-dep=yes {script}",
    ]
    assert "groups=(0-1 2-3 4)" in script.read_text()
    assert not (tmp_path / "run").exists()


def test_what_sbatch_says_is_passed_on(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("--shards", shards, "--out", tmp_path / "run")
    assert result.exit_code == 3
    assert "there is no command sbatch here" in result.output
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'error: Invalid account' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    result = run("--shards", shards, "--out", tmp_path / "run")
    assert result.exit_code == 3
    assert "sbatch refuses the job (error: Invalid account)" in result.output


def test_wrong_wishes_are_refused_before_anything_is_submitted(shards, tmp_path):
    common = ("--shards", shards, "--out", tmp_path / "run", "--dry-run")
    for wrong, message in (
        (("--time", "soon"), "time: Value error, must read HH:MM:SS"),
        (("--partition", "a\n#SBATCH --wrap=x"), "partition: Value error, must be one word"),
        (("--set", "training.step=6"), "training.step: no such setting"),
    ):
        result = run(*common, *wrong)
        assert result.exit_code == 3
        assert message in result.output
    with pytest.raises(ConfigError, match="shards"):
        load_settings(LosoJobs, None, base={"shards": [], "out": "run"})


def test_the_ready_made_script_is_what_the_command_writes():
    jobs = LosoJobs(
        shards=(Path("shards/samm"),),
        out=Path("runs/samm-5"),
        classes="5",
        folds_per_task=7,
        partition="gpu",
        setup=('source "$HOME/mol/.venv/bin/activate"',),
    )
    assert READY_MADE.read_text() == loso_script(jobs, fold_groups(28, jobs.folds_per_task))


def test_a_run_in_a_folder_with_an_odd_name(shards, tmp_path):
    """The directive is read by SLURM's rules, the script is executed; a `srun` tells its words."""
    lab = tmp_path / 'my lab\'s $data é "50%" #1'
    out = lab / "runs" / "five people"
    text = run("--shards", shards, "--out", out, "--gres", "none", "--dry-run").stdout
    (said,) = (line for line in text.splitlines() if line.startswith("#SBATCH --output"))
    (output,) = fake_slurm.parsed(said.removeprefix("#SBATCH"))
    assert output == f"--output={out}.slurm/%x-%j.log".replace("50%", "50%%")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "srun").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (programs / "srun").chmod(0o755)
    done = subprocess.run(
        ["bash"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": f"{programs}:/usr/bin:/bin", "data": "expanded"},
    )
    assert done.stderr == ""
    words = done.stdout.splitlines()
    assert words[words.index("--out") + 1] == str(out)
