"""The house is as `docs/architecture.md` draws it."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()
MOST_ENTRIES = {"mol_model": 14, "mol_pipeline": 12}
LONGEST_MODULE = {"mol_model": 350, "mol_pipeline": 350}
LONGEST_FUNCTION = {"mol_model": 60, "mol_pipeline": 60}


def entries(package):
    """Rooms and modules of a package; files that Python itself asks for are none."""
    return {
        path.stem
        for path in (ROOT / package).iterdir()
        if (path.is_dir() and (path / "__init__.py").is_file())
        or (path.suffix == ".py" and not path.stem.startswith("__"))
    }


def drawn(package):
    """Lines of the drawing's column of a package, each the rooms of one floor."""
    block = re.search(r"```\n(mol_pipeline .*?)```", PAGE, re.DOTALL).group(1)
    first, *lines = block.splitlines()
    middle = first.index("mol_model")
    columns = [line[:middle] if package == "mol_pipeline" else line[middle:] for line in lines]
    floors = [re.split(r"\s{2,}", column.strip())[0] for column in columns if column.strip()]
    return [set(floor.split(" · ")) for floor in floors]


def contracted(package):
    """Floors as `lint-imports` proves them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in contracts["contracts"]:
        if contract.get("containers") == [package]:
            layers = [set(re.split(r"\s*\|\s*", layer)) for layer in contract["layers"]]
            return [layer for layer in layers if layer != {"__main__"}]
    raise AssertionError(f"no layers of {package}")


@pytest.mark.parametrize("package", sorted(MOST_ENTRIES))
def test_the_drawing_the_folders_and_the_import_rules_are_one(package):
    floors = drawn(package)
    assert set().union(*floors) == entries(package)
    assert floors == contracted(package)
    assert len(entries(package)) <= MOST_ENTRIES[package]
    assert not any("util" in path.stem for path in (ROOT / package).rglob("*.py"))


def test_every_room_says_what_it_is():
    for package in MOST_ENTRIES:
        for path in (ROOT / package).rglob("__init__.py"):
            assert len(path.read_text().split('"""')[1]) > 30, path


def test_every_place_that_the_page_names_exists():
    named = re.findall(r"`((?:mol_|docs/)[\w/.]+)`", PAGE)
    assert len(named) > 12
    for name in named:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("package", sorted(MOST_ENTRIES))
def test_no_module_and_no_function_is_longer_than_a_reader_bears(package):
    """How branched a function is, the linter says (C901, PLR0915)."""
    for path in (ROOT / package).rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= LONGEST_MODULE[package], path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = node.end_lineno - node.lineno + 1
                assert lines <= LONGEST_FUNCTION[package], (path, node.name, lines)
