"""Documents, schemas and pipelines agree with the code."""

import importlib
import json
import re
from pathlib import Path

from mol_model.config import RunConfig
from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.labels import LABEL_MAPPINGS
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.settings import load_settings
from mol_pipeline.databases.corrections import known_corrections

ROOT = Path(__file__).parents[2]


def test_every_symbol_and_test_of_the_paper_map_exists():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/paper-map.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| equation")
    ]
    assert len(rows) > 15
    for _, symbol, test, deviation in rows:
        module, name = symbol.strip("`").rsplit(".", 1)
        assert hasattr(importlib.import_module(module), name), symbol
        text = (ROOT / test.strip("`")).read_text()
        assert re.search(rf"\b{name}\b", text) or name == "MOL", f"{name} is not in {test}"
        for record in re.findall(r"record (\d{4})", deviation):
            assert list((ROOT / "docs/decisions").glob(f"{record}-*.md")), record


def test_every_equation_in_a_docstring_is_in_the_paper_map():
    paper_map = (ROOT / "docs/paper-map.md").read_text()
    mapped = set(re.findall(r"Eq\. (\d+)", paper_map))
    named = set()
    for path in (ROOT / "mol_model").rglob("*.py"):
        named |= set(re.findall(r"MOL[^\n]*Eq\. (\d+)", path.read_text()))
    assert named
    assert named <= mapped


def test_every_decision_that_is_named_exists():
    named = set()
    for folder in ("mol_model", "mol_pipeline"):
        for path in (ROOT / folder).rglob("*.py"):
            named |= set(re.findall(r"decision (?:record )?(\d{4})", path.read_text()))
    assert len(named) >= 8
    for number in named:
        assert list((ROOT / "docs/decisions").glob(f"{number}-*.md")), number


def test_the_conventions_page_names_real_tests():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", (ROOT / "docs/conventions.md").read_text())
    assert len(names) >= 8
    for name in names:
        assert f"def {name}(" in tests, name


def test_the_manifest_schema_is_that_of_the_model():
    written = json.loads((ROOT / "manifests/manifest.schema.json").read_text())
    assert written == json.loads(json.dumps(Manifest.model_json_schema()))


def test_every_pipeline_file_loads():
    builds = sorted((ROOT / "pipelines/build").glob("*.yaml"))
    trainings = sorted((ROOT / "pipelines/train").glob("*.yaml"))
    assert builds
    assert trainings
    assert [load_settings(BuildConfig, path) for path in builds]
    assert [load_settings(RunConfig, path) for path in trainings]
    assert load_settings(BuildConfig, ROOT / "pipelines/build/paper.yaml") == BuildConfig()
    assert load_settings(RunConfig, ROOT / "pipelines/train/samm-5-loso.yaml") == RunConfig()


def test_class_order_is_fixed():
    orders = {
        (database, mapping.name): mapping.classes
        for database, mappings in LABEL_MAPPINGS.items()
        for mapping in mappings
    }
    assert orders["samm", "5"] == ("anger", "happiness", "contempt", "surprise", "others")
    assert orders["samm", "3"] == ("negative", "positive", "surprise")


def test_corrections_have_a_source():
    corrections = known_corrections("samm")
    assert len(corrections) == 2
    assert all(correction.source for correction in corrections.values())
