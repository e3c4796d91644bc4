"""The same run with several seeds: mean and spread, because one seed shows none."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mol_model import distributed
from mol_model.clips.shards import ShardSet
from mol_model.config.run_layout import METRICS_NAME, seed_directory
from mol_model.config.settings import RunConfig
from mol_model.runs.directory import refuse_single_run
from mol_model.runs.fold_jobs import RunProgress
from mol_model.runs.options import RunOptions
from mol_model.runs.run import SharedClips, choose_device, fit
from mol_model.scoring.scores import ALL_SCORES
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import write_atomically


def fit_seeds(
    data: ShardSet,
    config: RunConfig,
    options: RunOptions,
    seeds: Sequence[int],
    *,
    on_run: Callable[[Path, dict[str, Any], RunConfig], None] = lambda out, metrics, config: None,
    on_progress: Callable[[RunProgress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Do a run once for each seed, in `seed-N/`; returns and writes mean and spread.

    Args:
        data: The shards.
        config: Settings, fitted to the data.
        options: Where and how; `out` holds the runs.
        seeds: Of weights, order, augmentation and validation people.
        on_run: Called with directory, metrics and settings of each finished run.
        on_progress: As for `runs.fit`.

    Raises:
        MolError: As `runs.fit`; also if `out` holds a run of one seed, or a seed comes twice.
    """
    refuse_repeated(seeds)
    refuse_single_run(options.out)
    clips = SharedClips(data, choose_device(options.device), config)
    runs: dict[int, dict[str, Any]] = {}
    for seed in seeds:
        training = config.training.model_copy(update={"seed": seed})
        of_seed = config.model_copy(update={"training": training})
        out = seed_directory(options.out, seed)
        runs[seed] = fit(
            data, of_seed, replace(options, out=out), clips=clips, on_progress=on_progress
        )
        on_run(out, runs[seed], of_seed)
    summary = summarise_seeds(runs)
    if distributed.rank() == 0:
        content = json.dumps(summary, indent=1) + "\n"
        write_atomically(options.out / METRICS_NAME, content.encode())
    return summary


def refuse_repeated(seeds: Sequence[int]) -> None:
    """Refuse a seed that is named twice.

    Raises:
        ConfigError: If there is one.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds {','.join(map(str, seeds))}: a seed is named twice")


def summarise_seeds(runs: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Mean, sample standard deviation and range of each score over runs that differ by seed.

    Where each of several folds is a result of its own, as in `cross`, the spread is of each.
    """
    first = next(iter(runs.values()))
    common = {key: value for key, value in first.items() if not isinstance(value, dict)}
    for key in ("seed", "confusion"):
        common.pop(key, None)
    summary = {**common, "seeds": list(runs), "spread": _spread(list(runs.values()))}
    if first.get("published"):
        summary["published"] = first["published"]
    folds = [name for name in first.get("by_fold", {}) if _in_all(name, runs)]
    if folds:
        summary["by_fold"] = {
            name: {
                "videos": first["by_fold"][name]["videos"],
                "spread": _spread([run["by_fold"][name] for run in runs.values()]),
            }
            for name in folds
        }
    return summary


def _in_all(fold: str, runs: dict[int, dict[str, Any]]) -> bool:
    return all(fold in run.get("by_fold", {}) for run in runs.values())


def _spread(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    spread = {}
    for score in ALL_SCORES:
        values = [value for run in runs if (value := score.of(run)) is not None]
        if values and len(values) == len(runs):
            spread[score.key] = {
                "mean": statistics.fmean(values),
                "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
                "least": min(values),
                "greatest": max(values),
                "values": values,
            }
    return spread


def spreads_of(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Spread of the scores by fold, in the metrics of several seeds; of all folds under ""."""
    folds = {
        name: part["spread"]
        for name, part in metrics.get("by_fold", {}).items()
        if part.get("spread")
    }
    return folds or {"": metrics["spread"]}
