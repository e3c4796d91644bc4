"""Every command in the README runs, as written but for where the data is and how long it takes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mol_pipeline.databases.demo import write_demo

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FLOW = ["--set", "flow.warps=1", "--set", "flow.outer_iterations=1"]
RUN = ["--preset", "tiny", "--steps", "2", "--device", "cpu", "--jobs", "1"]
QUICK = {
    # The same commands on two synthetic subjects, one clip a video, a rough flow, two steps of the
    # narrow net.
    "build": ["--set", "sampling.phases=centre", *FLOW],
    "predict": ["--device", "cpu", *FLOW],
    "fit": RUN,
    "loso": RUN,
    "reproduce": RUN,
}


def readme_commands():
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


def test_the_readme_shows_the_commands_of_both_programs():
    lines = readme_commands()
    assert lines[:2] == ["make demo", "make test"]
    for start in ("molprep build", "molprep verify", "molprep preview", "moltrain fit"):
        assert any(line.startswith(start) for line in lines)
    allowed = ("make ", "molprep ", "moltrain ", "pip install ")
    assert all(line.startswith(allowed) for line in lines)


@pytest.mark.journey
@pytest.mark.timeout(900)
def test_the_readmes_commands_run_in_their_order(tmp_path):
    write_demo(tmp_path / "SAMM", subjects=2)
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    ran = 0
    for line in readme_commands():
        if not line.startswith(("molprep", "moltrain")):
            continue
        program, command, *rest = shlex.split(line.replace("/data/SAMM", str(tmp_path / "SAMM")))
        arguments = [str(BIN / program), command, *rest, *QUICK.get(command, [])]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout
        ran += 1
    assert ran >= 8
    assert (tmp_path / "runs/samm-5/report.html").is_file()
    assert (tmp_path / "preview/samm/index.html").is_file()
    assert (tmp_path / "tables/table-04/report.html").is_file()
    assert (tmp_path / "predictions/006_1_1/prediction.json").is_file()


def test_make_demo_and_make_test_are_recipes_and_ci_runs_the_latter():
    demo = subprocess.run(
        ["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    steps = ["molprep demo", "molprep build", "molprep verify", "molprep preview", "moltrain fit"]
    positions = [demo.index(step) for step in steps]
    assert positions == sorted(positions)
    assert "report.html" in demo
    test = subprocess.run(
        ["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for step in ("ruff check", "mypy", "lint-imports", "pytest"):
        assert step in test
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("make test")
