"""The directory of a run: what it holds, who may continue it, how it is started anew."""

import contextlib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from mol_model.clips.shards import ShardSet
from mol_model.config.run_layout import FOLDS_NAME, RUN_NAME, SETTINGS_NAME, START_ANEW, another_run
from mol_model.config.settings import RunConfig, settings_that_count
from mol_model.runs.holds import TABLES_PATIENCE_S, held_alone
from mol_model.scoring.documents import RunDocument, read_checked
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import hash_document, write_atomically
from mol_pipeline.contract.settings import dump_settings

OLD_PREFIX = ".old-"
"""Of what is on its way out; a kill leaves it, the next start removes it."""


def run_identity(data: ShardSet, config: RunConfig, started_from: str | None) -> dict[str, Any]:
    """What a run must agree in to be continued: data, and the settings that numbers follow from."""
    return {
        "protocol": config.protocol.name,
        "label_mapping": data.mapping,
        "manifest_hash": data.manifest_hash,
        "config_hash": hash_document(settings_that_count(config)),
        "started_from": started_from,
        "synthetic": data.synthetic,
    }


def open_run(
    out: Path,
    identity: dict[str, Any],
    folds: list[str],
    config: RunConfig,
    *,
    overwrite: bool,
) -> None:
    """Start or continue a run in `out`; refuse a directory that holds something else.

    Several tasks of an array may open the same run at once; they do it one after the other.

    Raises:
        ConfigError: If the directory holds another run, or something else.
        TrainingError: If the run is to start anew and a process works in it.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; --out must name a directory")
    path = out / RUN_NAME
    # A name that begins with a dot is one that a killed process left, or a lock.
    used = out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir())
    if used and not path.is_file():
        raise ConfigError(f"{out}: already in use and holds no run; choose another --out")
    with held_alone(out, patience_s=TABLES_PATIENCE_S):
        for old in out.glob(f"{OLD_PREFIX}*"):
            shutil.rmtree(old, ignore_errors=True)
        if overwrite:
            clear_run(out)
        if path.is_file():
            check_same(out, identity, config)
            _check_names(out, folds)
        document = {**identity, "folds": folds}
        content = (json.dumps(document, indent=1) + "\n").encode()
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
        write_atomically(out / SETTINGS_NAME, dump_settings(config).encode())


def _check_names(out: Path, folds: list[str]) -> None:
    """Refuse a run whose folds have other names: what is finished would be done again.

    Raises:
        ConfigError: If they differ, as in runs of earlier versions where a name was not safe.
    """
    before = read_run(out)["folds"]
    if before != folds:
        old = next((name for name in before if name not in folds), before[0])
        raise ConfigError(
            f"{out}: holds a run whose folds have other names, e.g. {old}, from an earlier "
            f"version; {START_ANEW}"
        )


def refuse_single_run(out: Path) -> None:
    """Refuse to put runs of several seeds into the directory of one.

    Raises:
        ConfigError: If it holds one.
    """
    if (out / RUN_NAME).is_file():
        raise ConfigError(f"{out}: holds a run of one seed; choose another --out")


def clear_run(out: Path) -> None:
    """Remove what a run holds, in whose directory nobody else may write now.

    What is finished goes first and at once, what says that this is a run goes last: wherever it
    is killed, nothing old is taken for new, and the directory is still known as a run's.

    Raises:
        TrainingError: If a process works on one of its folds.
    """
    folds = out / FOLDS_NAME
    for fold in folds.iterdir() if folds.is_dir() else ():
        if fold.is_dir():
            with held_alone(fold):
                pass
    last = {folds.name: 0, RUN_NAME: 2}
    names = [entry.name for entry in out.iterdir() if not entry.name.startswith(".")]
    old = out / f"{OLD_PREFIX}{uuid.uuid4().hex}"
    if names:
        old.mkdir()
    for name in sorted(names, key=lambda name: (last.get(name, 1), name)):
        (out / name).rename(old / name)
    with contextlib.suppress(OSError):  # the next start tries again
        shutil.rmtree(old)


def read_run(out: Path) -> dict[str, Any]:
    """What the run in a directory is, by its `run.json`.

    Raises:
        ConfigError: If the document is missing or damaged.
    """
    path = out / RUN_NAME
    try:
        return read_checked(path, RunDocument, ConfigError, "run with --overwrite to start anew")
    except FileNotFoundError:
        raise ConfigError(f"{path}: is not there; name the directory of a run") from None


def check_same(out: Path, identity: dict[str, Any], config: RunConfig) -> None:
    """Refuse to continue a run of other data or settings.

    Raises:
        ConfigError: If they differ, or the document is damaged.
    """
    before = read_run(out)
    changed = [key for key in identity if before.get(key) != identity[key]]
    if "config_hash" in changed:
        # Runs of earlier versions hashed all settings.
        whole = hash_document(config.model_dump(mode="json"))
        if before.get("config_hash") == whole:
            changed.remove("config_hash")
    if changed:
        raise ConfigError(another_run(out, changed))
