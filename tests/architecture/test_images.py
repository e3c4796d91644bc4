"""Image recipes: a linter agrees, and they keep to the border between the two programs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
HADOLINT = Path(sys.executable).with_name("hadolint")
RECIPES = ("prep.Dockerfile", "train.Dockerfile")


@pytest.mark.parametrize("name", RECIPES)
def test_the_linter_has_no_complaint(name):
    done = subprocess.run([HADOLINT, DOCKER / name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_would_complain(tmp_path):
    recipe = tmp_path / "Dockerfile"
    recipe.write_text("FROM python:latest\nRUN sudo ls\n")
    done = subprocess.run([HADOLINT, recipe], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "DL3007" in done.stdout


@pytest.mark.parametrize(
    ("name", "extra", "program"),
    [
        ("prep.Dockerfile", "'.[prep,cluster]'", "molprep"),
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


def test_images_and_definition_share_a_base_and_copy_what_is_sent_to_the_engine():
    definition = (DOCKER / "mol.def").read_text()
    base = next(line for line in definition.splitlines() if line.startswith("From: "))[6:]
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    for name in RECIPES:
        text = (DOCKER / name).read_text()
        assert f"FROM {base}" in text
        copied = {
            word
            for line in text.splitlines()
            if line.startswith("COPY ") and "--from" not in line
            for word in line.split()[1:-1]
        }
        assert copied == sent
    assert all(f"{name} /source/{name}" in definition for name in sent)


def test_the_demo_in_containers_runs_the_programs_in_order():
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    before = {name: list(service.get("depends_on", {})) for name, service in services.items()}
    assert before == {"database": [], "prepare": ["database"], "train": ["prepare"]}
    for service in services.values():
        assert service["volumes"] == ["mol:/mol"]
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
