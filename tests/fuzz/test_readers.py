"""Damaged documents end in named errors, whatever reads them.

CI tries a few hundred; `make fuzz` (MOL_FUZZ_INPUTS=100000) tries as many as that. A failure
names its seed, which gives the input again: `python -m tests.fuzz READER SEED FOLDER`.
"""

import os
import random
import shutil
import warnings
from pathlib import Path

import pytest

from tests.fuzz.corpus import FOUND
from tests.fuzz.judge import judged
from tests.fuzz.mutations import damaged
from tests.fuzz.readers import Reader, all_readers
from tests.tally import tally

INPUTS = int(os.environ.get("MOL_FUZZ_INPUTS", "700"))
FIRST_SEED = int(os.environ.get("MOL_FUZZ_SEED", "0"))

NAMES = (
    *(
        "manifest",
        "manifest with its hash",
        "merge",
        "index",
        "protocol",
        "settings BuildConfig",
        "settings RunConfig",
    ),
    *("settings BatchSettings", "reproduction", "run directory", "checkpoint JSON"),
    *("checkpoint tensors", "checkpoint of the release", "table of samm", "table of casme-sq"),
    *("table of smic-e-hs", "table of 4dme", "list of own videos", "labels of frames"),
)


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    found = {one.name: one for one in all_readers(tmp_path_factory.mktemp("valid"))}
    assert set(found) == set(NAMES)
    return found


def lay(reader: Reader, folder: Path) -> None:
    """The valid documents of a reader in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    if reader.beside is not None:
        shutil.copytree(reader.beside, folder, symlinks=True)
    for name, content in reader.corpus.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def try_one(reader: Reader, folder: Path, name: str, content: bytes, known: Path) -> None:
    (folder / name).write_bytes(content)
    with judged(folder, known), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.read(folder)


@pytest.mark.parametrize("name", NAMES)
def test_valid_documents_are_read(readers, tmp_path, name):
    lay(readers[name], tmp_path / "x")
    if name != "checkpoint of the release":  # too few tensors
        readers[name].read(tmp_path / "x")


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", NAMES)
def test_damaged_documents_are_read_or_named(readers, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader = readers[name]
    folder, valid = tmp_path / "x", next(iter(readers.values())).beside
    known = tmp_path.parent
    share = reader.weight / sum(one.weight for one in readers.values())
    lay(reader, folder)
    assert valid is None or valid.exists()
    with tally(f"damaged documents: {name}") as tried:
        for file, content in FOUND.get(name, ()):
            with tried():
                try_one(reader, folder, file, content, known)
            (folder / file).write_bytes(reader.corpus[file]) if file in reader.corpus else (
                folder / file
            ).unlink()
        for seed in range(FIRST_SEED, FIRST_SEED + max(5, round(INPUTS * share))):
            rng = random.Random(f"{name} {seed}")
            file = rng.choice(sorted(reader.corpus))
            content = damaged(rng, reader.corpus[file])
            try:
                with tried():
                    try_one(reader, folder, file, content, known)
            except BaseException as error:
                error.add_note(f"reader {name!r}, seed {seed}, file {file}: {content[:300]!r}")
                raise
            (folder / file).write_bytes(reader.corpus[file])
