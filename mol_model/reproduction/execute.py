"""Do what is left of a table or figure; one run that fails does not stop the others."""

import copy
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mol_model import distributed
from mol_model.config.mol import ModelConfig
from mol_model.config.run_layout import METRICS_NAME, REPORT_NAME, RUN_NAME
from mol_model.reports.model_card import write_card
from mol_model.reports.page import write_report, write_seeds_report
from mol_model.reproduction.page import write_page
from mol_model.reproduction.peers import evaluate_peer_row, forget_peer
from mol_model.reproduction.plan import Plan
from mol_model.reproduction.table import make_table, write_table
from mol_model.reproduction.units import Unit
from mol_model.runs.directory import clear_run
from mol_model.runs.fold_jobs import RunProgress
from mol_model.runs.holds import TABLES_PATIENCE_S, held_alone
from mol_model.runs.run import SharedClips, choose_device, fit
from mol_model.runs.seeds import summarise_seeds
from mol_pipeline.contract.errors import ConfigError, MolError, StoppedOnRequest, TrainingError
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.stopping import asked_to_stop, listen_for_stop

logger = logging.getLogger(__name__)


def reproduce(
    plan: Plan,
    on_run: Callable[[Unit], None] = lambda unit: None,
    on_progress: Callable[[RunProgress], None] = lambda progress: None,
) -> tuple[dict[str, Any], Path]:
    """Do the runs that are not finished; returns the table and its page.

    The table is also written when the session is interrupted.

    Args:
        plan: From `make_plan`.
        on_run: Called with each run before it begins or continues.
        on_progress: As for `runs.fit`.

    Raises:
        StoppedOnRequest: If a stop signal came; the state is saved.
        ConfigError: If the device is unknown, or torchrun started this.
        MolError: If runs failed, after all others are finished.
    """
    if distributed.started_by_torchrun():
        raise ConfigError("reproduce: runs in one process; under torchrun use 'moltrain fit'")
    device = choose_device(plan.request.options.device)
    failures: dict[str, MolError] = {}
    if plan.request.options.overwrite:
        for unit in plan.units:
            if (unit.directory / RUN_NAME).is_file():
                with held_alone(unit.directory, patience_s=TABLES_PATIENCE_S):
                    clear_run(unit.directory)
        for peer in plan.peers:
            forget_peer(peer)
    try:
        with listen_for_stop():
            _do_units(plan, device, failures, on_run, on_progress)
            _do_peers(plan, failures)
        _write_summaries(plan)
    finally:  # also when somebody interrupts it: what is finished can be read
        table = make_table(plan, {run: str(error) for run, error in failures.items()})
        write_table(plan.request.options.out, table)
        page = write_page(plan.request.options.out, table)
    _refuse(failures, page)
    return table, page


def _do_units(
    plan: Plan,
    device: torch.device,
    failures: dict[str, MolError],
    on_run: Callable[[Unit], None],
    on_progress: Callable[[RunProgress], None],
) -> None:
    """Train and test what is left, on one copy of the clips where runs share them."""
    clips: SharedClips | None = None
    before: Unit | None = None
    for unit in plan.units:
        if _is_finished(unit):
            continue
        if asked_to_stop():
            raise StoppedOnRequest("stopped on request between two runs: run again to continue")
        if before is None or not _share_clips(before, unit):
            # A copy has a cache of its own, which goes when the next rows read other clips.
            clips = SharedClips(copy.copy(unit.data), device, unit.config)
        before = unit
        on_run(unit)
        try:
            _do(unit, plan, clips, on_progress)
        except StoppedOnRequest:
            raise
        except MolError as error:
            _note(failures, unit.run, f"{unit.run}, seed {unit.seed}", error)


def _do_peers(plan: Plan, failures: dict[str, MolError]) -> None:
    """Score the peers that the user named."""
    crop_px = plan.units[0].config.model.crop_px if plan.units else ModelConfig().crop_px
    for peer in plan.peers:
        try:
            evaluate_peer_row(peer, plan.request.peer_weights, crop_px)
        except MolError as error:
            _note(failures, peer.row.run, peer.row.name, error)


def _is_finished(unit: Unit) -> bool:
    """Whether a run needs nothing more, its page included.

    Scores over some of the folds do not tell which: those are pooled again.
    """
    whole = len(unit.folds) == unit.folds_of_protocol
    return whole and unit.metrics() is not None and (unit.directory / REPORT_NAME).is_file()


def _share_clips(unit: Unit, other: Unit) -> bool:
    return unit.data is other.data and unit.config.data == other.config.data


def _do(
    unit: Unit,
    plan: Plan,
    clips: SharedClips | None,
    on_progress: Callable[[RunProgress], None],
) -> None:
    options = replace(
        plan.request.options,
        out=unit.directory,
        folds=tuple(fold.name for fold in unit.folds),
        overwrite=False,  # what was there is cleared before the first run
    )
    metrics = fit(unit.data, unit.config, options, clips=clips, on_progress=on_progress)
    with held_alone(unit.directory, patience_s=TABLES_PATIENCE_S):
        write_card(unit.directory)
        write_report(unit.directory, metrics, unit.config)


def _note(failures: dict[str, MolError], run: str, name: str, error: MolError) -> None:
    """Say at once what will be an error in the end."""
    logger.error("%s: %s", name, error)
    failures[run] = error


def _write_summaries(plan: Plan) -> None:
    """Mean and spread beside the runs of several seeds, as `moltrain fit --seeds` has them."""
    for run in dict.fromkeys(unit.run for unit in plan.units):
        units = plan.units_of(run)
        finished = {unit.seed: metrics for unit in units if (metrics := unit.metrics())}
        if len(finished) < len(units) or len(units) < 2:
            continue
        out, summary = units[0].directory.parent, summarise_seeds(finished)
        write_atomically(out / METRICS_NAME, (json.dumps(summary, indent=1) + "\n").encode())
        write_seeds_report(out, summary)
        write_card(out)


def _refuse(failures: dict[str, MolError], page: Path) -> None:
    """Say which runs failed, after all others are finished."""
    if not failures:
        return
    run, first = next(iter(failures.items()))
    message = f"{len(failures)} runs failed ({', '.join(failures)}), see {page}; {run}: {first}"
    kinds = {type(error) for error in failures.values()}
    raise (kinds.pop() if len(kinds) == 1 else TrainingError)(message) from first
