"""From what a user asked for to a finished run with its report."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mol_model import distributed
from mol_model.config.run_layout import REPORT_NAME
from mol_model.config.settings import RunConfig, resolve_settings
from mol_model.reports.model_card import write_card
from mol_model.reports.page import write_report, write_seeds_report
from mol_model.runs.fold_jobs import RunProgress
from mol_model.runs.holds import TABLES_PATIENCE_S, held_alone
from mol_model.runs.options import RunOptions
from mol_model.runs.run import choose_device, fit, fit_to_data, load_data
from mol_model.runs.seeds import fit_seeds
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.stopping import listen_for_stop


@dataclass(frozen=True)
class RunRequest:
    """A run as the command line names it."""

    shards: tuple[Path, ...]
    options: RunOptions
    network: str | None = None
    """None: that of the file of settings, or MOL."""
    preset: str | None = None
    """None: the network's first."""
    classes: str | None = None
    config_file: Path | None = None
    overrides: tuple[str, ...] = ()
    """`key=value`, over the file and the preset."""
    seeds: tuple[int, ...] = ()
    """Several: one run each, and their spread."""

    def settings(self) -> RunConfig:
        """The settings that it resolves to, before they are fitted to the data.

        Raises:
            ConfigError: If one is unknown or wrong.
        """
        seed = self.seeds[0] if len(self.seeds) == 1 else None
        return resolve_settings(self.preset, self.config_file, self.overrides, seed, self.network)


def launch(
    request: RunRequest, on_progress: Callable[[RunProgress], None] = lambda progress: None
) -> tuple[dict[str, Any], Path]:
    """Train, test, pool and report; returns the metrics and the report.

    Started by `torchrun`, all processes train each fold together and the first one writes.

    Raises:
        MolError: Of the kind that tells what is wrong; see `runs.fit`.
    """
    config, options = request.settings(), request.options
    if distributed.rank() > 0:
        on_progress = _say_nothing
    with listen_for_stop():
        if distributed.started_by_torchrun():
            if options.jobs not in (None, 1):
                raise ConfigError("--jobs: torchrun trains one fold at a time in all processes")
            own = distributed.join(choose_device(options.device))
            options = replace(options, device=str(own))
        try:
            data = load_data(request.shards, request.classes, config)
            config = fit_to_data(config, data)
            if len(request.seeds) > 1:
                metrics = fit_seeds(
                    data,
                    config,
                    options,
                    request.seeds,
                    on_run=_report,
                    on_progress=on_progress,
                )
                if distributed.rank() == 0:
                    write_seeds_report(options.out, metrics)
                    write_card(options.out)
            else:
                metrics = fit(data, config, options, on_progress=on_progress)
                _report(options.out, metrics, config)
        finally:
            distributed.leave()
    return metrics, options.out / REPORT_NAME


def _say_nothing(progress: RunProgress) -> None:
    """The first process speaks for all."""


def _report(out: Path, metrics: dict[str, Any], config: RunConfig) -> None:
    if distributed.rank() == 0:
        with held_alone(out, patience_s=TABLES_PATIENCE_S):
            write_report(out, metrics, config)
            write_card(out)
