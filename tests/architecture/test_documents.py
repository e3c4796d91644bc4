"""Documents, schemas and pipelines agree with the code."""

import importlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from mol_model.config.settings import ProtocolDocument, RunConfig
from mol_model.protocols.plan import read_protocol
from mol_model.protocols.units import CD6ME, UNITS_MAPPING
from mol_model.reproduction.document import Reproduction, known_names, read_reproduction
from mol_pipeline.config import AlignmentConfig, BuildConfig
from mol_pipeline.contract.index_document import IndexDocument
from mol_pipeline.contract.labels import LABEL_MAPPINGS
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.settings import load_settings
from mol_pipeline.databases.corrections import known_corrections
from mol_pipeline.databases.names import ALIASES, DATABASES
from mol_pipeline.databases.published_counts import published_counts
from tests import trust

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


def test_what_answers_a_reviewer_exists():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    page = (ROOT / "docs/reproduction.md").read_text()
    rows = re.findall(r"^\|.*\| `([\w./-]+)` \| `(test_\w+)` \|$", page, re.MULTILINE)
    assert len(rows) >= 15
    for place, test in rows:
        assert (ROOT / place).exists(), place
        assert f"def {test}(" in tests, test
    for words in re.findall(r"^ {4}(mol\w+ .*)$", page, re.MULTILINE):
        program, command, *rest = shlex.split(words)
        if program == "moltrain":
            assert (command, rest[0] in known_names()) == ("reproduce", True), words
        else:
            frames = int(rest[rest.index("--out") + 1].rpartition("-t")[2])
            needs = read_reproduction("table-13").data.values()
            (need,) = [one for one in needs if one.frames == frames]
            assert need.command().endswith(words.partition(f"t{frames} ")[2]), words


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("manifest", Manifest),
        ("index", IndexDocument),
        ("protocol", ProtocolDocument),
        ("reproduction", Reproduction),
    ],
)
def test_the_schemas_are_those_of_the_models(name, model):
    written = json.loads((ROOT / f"manifests/{name}.schema.json").read_text())
    assert written == json.loads(json.dumps(model.model_json_schema()))


def test_every_protocol_document_is_about_databases_that_share_its_mapping():
    documents = sorted((ROOT / "manifests/protocols").glob("*.json"))
    assert len(documents) >= 9
    for path in documents:
        document = read_protocol(path)
        if document.protocol.name != "owners-split":  # whose names are parts
            assert {*document.protocol.train, *document.protocol.test} <= set(document.databases)
        if document.mapping == UNITS_MAPPING:  # of every table that names units
            assert set(document.databases) == set(CD6ME) <= set(DATABASES)
            continue
        classes = {
            mapping.classes
            for database in document.databases
            for mapping in LABEL_MAPPINGS[database]
            if mapping.name == document.mapping
        }
        assert len(classes) == 1, path.name


def test_every_pipeline_file_loads():
    builds = sorted((ROOT / "pipelines/build").glob("*.yaml"))
    trainings = sorted((ROOT / "pipelines/train").glob("*.yaml"))
    assert builds
    assert trainings
    assert [load_settings(BuildConfig, path) for path in builds]
    assert [load_settings(RunConfig, path) for path in trainings]
    papers = load_settings(BuildConfig, ROOT / "pipelines/build/paper.yaml")
    assert papers == BuildConfig(alignment=AlignmentConfig(reference="frame"))
    assert load_settings(RunConfig, ROOT / "pipelines/train/samm-5-loso.yaml") == RunConfig()


def test_the_page_of_databases_has_a_command_for_each():
    page = (ROOT / "docs/databases.md").read_text()
    commands = [shlex.split(line) for line in re.findall(r"^ {6}(molprep .*)$", page, re.MULTILINE)]
    assert {words[words.index("--dataset") + 1] for words in commands} == set(DATABASES)
    for words in commands:
        name = words[words.index("--dataset") + 1]
        if "--classes" in words:
            mapping = words[words.index("--classes") + 1]
            assert mapping in {one.name for one in LABEL_MAPPINGS[name]}, words
    for mappings in LABEL_MAPPINGS.values():
        for mapping in mappings:
            assert f"`{mapping.name}`" in page or mapping.name == "4-macro", mapping.name


def test_other_spellings_lead_to_databases():
    assert set(ALIASES.values()) <= set(DATABASES)
    assert not set(ALIASES) & set(DATABASES)


def test_class_order_is_fixed():
    orders = {
        (database, mapping.name): mapping.classes
        for database, mappings in LABEL_MAPPINGS.items()
        for mapping in mappings
    }
    assert orders["samm", "5"] == ("anger", "happiness", "contempt", "surprise", "others")
    assert orders["samm", "3"] == ("negative", "positive", "surprise")


def test_corrections_have_a_source():
    assert len(known_corrections("samm")) == 2
    for database in DATABASES:
        assert all(correction.source for correction in known_corrections(database))


def test_every_published_count_is_of_a_known_database_and_mapping():
    for row in published_counts():
        assert row["database"] in DATABASES
        if row["kind"] == "mapping":
            assert row["name"] in {one.name for one in LABEL_MAPPINGS[row["database"]]}


def test_mappings_of_one_name_can_be_joined_across_databases():
    """`3` and `megc2019` mean the same classes everywhere: they are for several databases."""
    for name in ("3", "megc2019"):
        classes = {
            mapping.classes
            for mappings in LABEL_MAPPINGS.values()
            for mapping in mappings
            if mapping.name == name
        }
        assert classes == {("negative", "positive", "surprise")}


def test_the_page_of_trust_names_real_tests():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    promises = (ROOT / "docs/trust.md").read_text().partition("## Figures")[0]
    for name in re.findall(r"`(test_\w+)`", promises):
        assert f"def {name}(" in tests, name


def test_figures_of_trust_go_into_their_place_again_and_again(tmp_path):
    page, counts = tmp_path / "page.md", tmp_path / "counts"
    shutil.copyfile(ROOT / "docs/trust.md", page)
    counts.write_text('{"kind": "flips", "tried": 2, "held": 2}\n' * 2)
    outcome = trust.Outcome("a tier", False, 3.2, trust.read_counts(counts), "")
    for _ in range(2):
        trust.write_figures([outcome], page, tmp_path / "out.json")
        head, _, rest = page.read_text().partition(trust.BEGIN)
        assert rest.partition(trust.END)[0].splitlines()[2:] == [
            "| flips | 4 | 4 | a tier, 3, FAILED |"
        ]
    assert head == (ROOT / "docs/trust.md").read_text().partition(trust.BEGIN)[0]
    for tier in trust.TIERS:
        assert all((ROOT / name).exists() for name in tier.tests if name.startswith("tests/"))
