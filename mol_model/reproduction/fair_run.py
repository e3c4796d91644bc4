"""Do the runs of a fair comparison; one that fails does not stop the others."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mol_model.clips.shards import ShardSet
from mol_model.clips.views import arrays_of
from mol_model.config.names import Selection
from mol_model.config.run_layout import (
    METRICS_NAME,
    PREDICTIONS_NAME,
    fold_directory,
    seed_directory,
)
from mol_model.config.settings import RunConfig
from mol_model.networks.build import network_of
from mol_model.networks.summary import summarise
from mol_model.protocols.folds import make_folds
from mol_model.reports.model_card import write_card
from mol_model.reports.page import write_report
from mol_model.reproduction.fair_document import FairDocument, Method
from mol_model.runs.fold_jobs import RunProgress
from mol_model.runs.options import RunOptions
from mol_model.runs.run import SharedClips, choose_device, fit, fit_to_data, load_data
from mol_pipeline.contract.errors import ConfigError, MolError, StoppedOnRequest
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.stopping import asked_to_stop, listen_for_stop

logger = logging.getLogger(__name__)

COST_NAME = "cost.json"
"""Beside a run: what its network costs, and how long it took here."""


@dataclass(frozen=True)
class FairUnit:
    """One run of a comparison."""

    method: Method
    selection: Selection
    seed: int
    config: RunConfig
    directory: Path
    data: ShardSet
    folds: tuple[str, ...]

    @property
    def words(self) -> str:
        """For progress and errors."""
        return f"{self.method.run}, {self.selection}, seed {self.seed}"

    @property
    def finished(self) -> int:
        """Folds that are done."""
        return sum(
            (fold_directory(self.directory, name) / PREDICTIONS_NAME).is_file()
            for name in self.folds
        )


def plan_units(
    document: FairDocument, shards: Sequence[Path], out: Path, overrides: tuple[str, ...] = ()
) -> list[FairUnit]:
    """Every run of a comparison, in the order in which they are done; nothing is trained.

    Raises:
        ConfigError: If settings, shards and protocol do not go together, for any method.
        ManifestError: If shards are damaged.
    """
    units: list[FairUnit] = []
    opened: dict[tuple[str, ...], ShardSet] = {}
    for seed in document.seeds:
        for selection in document.selections:
            for method in document.methods:
                config = document.config_of(method, selection, seed, overrides)
                arrays = arrays_of(network_of(method.network).reads)
                if arrays not in opened:  # methods that read alike share the shards
                    opened[arrays] = load_data(shards, document.mapping, config)
                data = opened[arrays]
                config = fit_to_data(config, data)
                folds = make_folds(data.samples, data.classes, config.protocol)
                directory = seed_directory(out / method.run / selection, seed)
                names = tuple(fold.name for fold in folds)
                units.append(FairUnit(method, selection, seed, config, directory, data, names))
    return units


def do_units(
    units: Sequence[FairUnit],
    options: RunOptions,
    on_run: Callable[[FairUnit], None] = lambda unit: None,
    on_progress: Callable[[RunProgress], None] = lambda progress: None,
) -> dict[str, str]:
    """Do what is left of some runs.

    Args:
        units: From `plan_units`.
        options: Device and jobs; the directory is each unit's own.
        on_run: Called with each run before it begins or continues.
        on_progress: As for `runs.fit`.

    Returns:
        Runs that failed, by their words, and why.

    Raises:
        StoppedOnRequest: If a stop signal came; the state is saved.
    """
    device = choose_device(options.device)
    failures: dict[str, str] = {}
    clips: dict[tuple[str, ...], SharedClips] = {}
    with listen_for_stop():
        for unit in units:
            if (unit.directory / METRICS_NAME).is_file() and unit.finished == len(unit.folds):
                continue
            if asked_to_stop():
                raise StoppedOnRequest("stopped on request between two runs: run again to continue")
            shared = clips.setdefault(unit.data.arrays, SharedClips(unit.data, device, unit.config))
            on_run(unit)
            try:
                _do(unit, options, shared, on_progress)
            except StoppedOnRequest:
                raise
            except MolError as error:
                logger.error("%s: %s", unit.words, error)  # noqa: TRY400 - words, no traceback
                failures[unit.words] = str(error)
    return failures


def _do(
    unit: FairUnit,
    options: RunOptions,
    clips: SharedClips,
    on_progress: Callable[[RunProgress], None],
) -> None:
    before = unit.finished
    start = time.monotonic()
    own = replace(options, out=unit.directory, overwrite=False, folds=())
    metrics = fit(unit.data, unit.config, own, clips=clips, on_progress=on_progress)
    seconds = time.monotonic() - start
    _write_cost(unit, None if before else seconds)
    write_report(unit.directory, metrics, unit.config)
    write_card(unit.directory)


def _write_cost(unit: FairUnit, seconds: float | None) -> None:
    """What the network costs; no time of a run that was continued, which would be too short."""
    summary = summarise(unit.config)
    cost: dict[str, Any] = {
        "parameters": summary["parameters"],
        "gflop": summary["gflop_per_clip"],
        "seconds": seconds,
    }
    write_atomically(unit.directory / COST_NAME, (json.dumps(cost) + "\n").encode())


def chosen_units(units: Sequence[FairUnit], wanted: str | None) -> Sequence[FairUnit]:
    """Runs by their number in the plan (`3`), or by a range (`0-5`); all if None.

    Raises:
        ConfigError: If there are none of these numbers.
    """
    if wanted is None:
        return units
    first, _, last = wanted.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise ConfigError(f"--runs {wanted}: must read 3, or 0-5")
    chosen = units[int(first) : int(last or first) + 1]
    if not chosen:
        raise ConfigError(f"--runs {wanted}: the plan has runs 0 to {len(units) - 1}")
    return chosen


def plan_text(units: Sequence[FairUnit]) -> str:
    """The runs of a comparison, a line each."""
    return "\n".join(
        f"{number:4}  {unit.words:44} {unit.finished} of {len(unit.folds)} folds done"
        for number, unit in enumerate(units)
    )
