"""Images and scripts: linters agree, and images keep to the border between the two programs."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from mol_model.config.settings import PRESETS

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
HADOLINT = Path(sys.executable).with_name("hadolint")
SHELLCHECK = HADOLINT.with_name("shellcheck")
TINY_STEPS = PRESETS["tiny"].training.steps
RECIPES = ("prep.Dockerfile", "train.Dockerfile")


def sent():
    """Files and folders that an engine gets to see."""
    return {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}


@pytest.mark.parametrize("name", RECIPES)
def test_the_linter_has_no_complaint(name):
    done = subprocess.run([HADOLINT, DOCKER / name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_would_complain(tmp_path):
    recipe = tmp_path / "Dockerfile"
    recipe.write_text("FROM python:latest\nRUN sudo ls\n")
    done = subprocess.run([HADOLINT, recipe], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "DL3007" in done.stdout


def test_the_linter_of_shell_scripts_has_no_complaint():
    scripts = [*ROOT.glob("*/*.sh"), *ROOT.glob("*/slurm/*.sh"), *ROOT.glob("*/slurm/*.sbatch")]
    assert len(scripts) >= 6
    done = subprocess.run(
        [SHELLCHECK, "-S", "warning", *scripts], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "extra", "program"),
    [
        ("prep.Dockerfile", "'.[prep,fast,cluster]'", "molprep"),
        ("train.Dockerfile", "'.[train]'", "moltrain"),
    ],
)
def test_each_image_holds_one_program_and_no_root(name, extra, program):
    lines = (DOCKER / name).read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(bases) == 2 and len(set(bases)) == 1
    assert any(extra in line and "-c constraints.txt" in line for line in lines)
    assert "USER 1000:1000" in lines
    assert f'ENTRYPOINT ["{program}"]' in lines
    assert any(line.startswith("HEALTHCHECK ") for line in lines)


def test_the_engine_is_sent_all_that_the_wheel_is_made_of():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"], project["project"]["readme"]} <= sent()


def test_images_and_definition_share_a_base_and_copy_what_is_sent_to_the_engine():
    definition = (DOCKER / "mol.def").read_text()
    base = next(line for line in definition.splitlines() if line.startswith("From: "))[6:]
    for name in RECIPES:
        text = (DOCKER / name).read_text()
        assert f"FROM {base}" in text
        copied = {
            word
            for line in text.splitlines()
            if line.startswith("COPY ") and "--from" not in line
            for word in line.split()[1:-1]
        }
        assert copied == sent()
    assert all(f"{name} /source/{name}" in definition for name in sent())


def test_the_demo_in_containers_runs_the_programs_in_order():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    before = {name: list(service.get("depends_on", {})) for name, service in services.items()}
    assert before == {"database": [], "prepare": ["database"], "train": ["prepare"]}
    # What is left out of the environment is the demo of the README.
    assert services["database"]["command"][4:6] == ["--subjects", "${SUBJECTS:-8}"]
    assert services["train"]["command"][-2:] == ["--steps", f"${{STEPS:-{TINY_STEPS}}}"]
    for service in services.values():
        assert service["volumes"] == ["mol:/mol"]
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
