"""A run: all folds of a protocol, several at once, resumed, pooled."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from mol_model import distributed
from mol_model.clips.shards import ShardSet
from mol_model.clips.source import ClipSource, open_source
from mol_model.clips.sums import ClipStatistics, clip_statistics
from mol_model.clips.views import arrays_of
from mol_model.config.run_layout import METRICS_NAME, RUN_NAME, TABLE_NAME, fold_directory
from mol_model.config.settings import RunConfig
from mol_model.networks.build import network_of
from mol_model.protocols.folds import Fold, make_folds
from mol_model.runs.directory import open_run, run_identity
from mol_model.runs.failures import named_failures
from mol_model.runs.finished import finished_folds, load_finished, run_metrics
from mol_model.runs.fold_jobs import FoldJob, RunProgress, Shared, run_folds, run_folds_here
from mol_model.runs.holds import TABLES_PATIENCE_S, held_alone
from mol_model.runs.options import RunOptions
from mol_model.scoring.predictions import write_table
from mol_model.training.checkpoint import CheckpointRecord
from mol_model.training.warm_start import open_warm_start
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import hash_file, write_atomically


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA where it is.

    Raises:
        ConfigError: If CUDA is asked for and absent, or there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"--device {name}: no CUDA device here (torch {torch.__version__}); use --device cpu"
        )
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name}: is none of auto, cpu, cuda, cuda:N") from error
    distributed.make_current(device)
    return device


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to, and that its SLURM task asked for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(bound or 1, int(asked) if asked.isdigit() else sys.maxsize))


def load_data(directories: Sequence[Path], mapping: str | None, config: RunConfig) -> ShardSet:
    """Open the shards of a run; see `ShardSet` for the errors."""
    paths = [directory.resolve() for directory in directories]
    cache_mb = config.data.cache_mb // distributed.count_on_node()
    return ShardSet(
        paths,
        mapping=mapping,
        protocol=config.protocol.name,
        arrays=arrays_of(network_of(config.network).reads),
        cache_mb=cache_mb,
    )


class SharedClips:
    """The clips and their statistics, read when they are first needed, once for all runs."""

    def __init__(self, data: ShardSet, device: torch.device, config: RunConfig) -> None:
        self._data, self._device, self._settings = data, device, config.data
        self._source: ClipSource | None = None
        self._statistics: ClipStatistics | None = None

    def get(self) -> Shared:
        """What the folds share."""
        if self._source is None or self._statistics is None:
            settings = self._settings
            with named_failures("clips of the run"):
                self._source = open_source(
                    self._data, self._device, settings.cache, settings.workers
                )
                self._statistics = clip_statistics(self._source)
        return Shared(self._source, self._statistics)


def fit(
    data: ShardSet,
    config: RunConfig,
    options: RunOptions,
    *,
    clips: SharedClips | None = None,
    on_progress: Callable[[RunProgress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train and test every fold of the protocol; returns the pooled metrics.

    A finished fold is not run again; an interrupted one continues. The metrics are those of all
    folds that are finished, also where only some were asked for.

    Args:
        data: The shards.
        config: Settings, fitted to the data by `fit_to_data`.
        options: Where and how.
        clips: Shared with other runs over the same data and device.
        on_progress: Called for logged steps and finished folds.

    Raises:
        ManifestError: If a shard cannot be read.
        ConfigError: If `out` holds another run, or a fold or device is unknown.
        TrainingError: If a fold cannot be trained; the others are finished first.
        StoppedOnRequest: If a stop signal came; the state is saved.
    """
    all_folds = make_folds(data.samples, data.classes, config.protocol)
    folds = select_folds(all_folds, options.folds)
    device = choose_device(options.device)
    start = open_warm_start(config.training.init_from)
    if start is not None:
        for fold in folds:
            start.check_people(data.samples, fold)
    record = start.record if start else None
    out = options.out.resolve()
    if distributed.rank() == 0:
        started_from = record.tensors_sha256 if record else None
        identity = run_identity(data, config, started_from)
        names = [fold.name for fold in all_folds]
        open_run(out, identity, names, config, overwrite=options.overwrite)
    distributed.wait()
    done = finished_folds(out, all_folds)
    load_finished(out, done, data, config, record)  # refused now, not after hours of training
    todo = [fold for fold in folds if fold not in done]
    if todo:
        if distributed.rank() == 0:
            _refuse_held(fold_directory(out, fold.name) for fold in todo)
        clips = clips or SharedClips(data, device, config)
        shared = clips.get()
        if cost := shared.source.checked:
            on_progress(RunProgress(len(folds) - len(todo), len(folds), "", None, note=cost))
        _train(out, todo, len(folds), config, options, shared, on_progress)
        data.check_unchanged()
    return _pool(out, data, config, all_folds, record)


def _train(
    out: Path,
    todo: Sequence[Fold],
    folds: int,
    config: RunConfig,
    options: RunOptions,
    shared: Shared,
    on_progress: Callable[[RunProgress], None],
) -> None:
    """Train the folds that are not finished."""
    run_sha256 = hash_file(out / RUN_NAME)
    work = [FoldJob(fold, config, fold_directory(out, fold.name), run_sha256) for fold in todo]
    cores = usable_cores()
    jobs = options.jobs or (1 if shared.source.device.type == "cuda" else cores)
    jobs = max(1, min(jobs, len(work)))
    if jobs == 1 or distributed.count() > 1:
        run_folds_here(work, shared, folds, on_progress)
        return
    run_folds(work, shared, jobs, max(1, cores // jobs), folds, on_progress)


def _pool(
    out: Path,
    data: ShardSet,
    config: RunConfig,
    folds: Sequence[Fold],
    start: CheckpointRecord | None,
) -> dict[str, Any]:
    """Pool all folds that are finished, whoever trained them; write the tables of the run."""
    done = finished_folds(out, folds)
    predictions = load_finished(out, done, data, config, start)
    metrics = run_metrics(data, config, done, predictions, of=len(folds), start=start)
    if distributed.rank() == 0:
        with held_alone(out, patience_s=TABLES_PATIENCE_S):
            write_atomically(out / METRICS_NAME, (json.dumps(metrics, indent=1) + "\n").encode())
            write_table(out / TABLE_NAME, predictions, data.classes, synthetic=data.synthetic)
    return metrics


def fit_to_data(config: RunConfig, data: ShardSet) -> RunConfig:
    """Settings with the classes and the clip length that the shards have."""
    model = config.model.model_copy(update={"classes": len(data.classes), "frames": data.frames})
    return config.model_copy(update={"model": model})


def select_folds(folds: list[Fold], names: Sequence[str]) -> list[Fold]:
    """Folds by name, by number from 0, or by a range of numbers (`0-6`).

    Raises:
        ConfigError: If there is no such fold.
    """
    if not names:
        return folds
    chosen: set[str] = set()
    for name in names:
        by_name = [fold.name for fold in folds if fold.name == name]
        first, _, last = name.partition("-")
        if not by_name and first.isdigit() and (last or first).isdigit():
            by_name = [fold.name for fold in folds[int(first) : int(last or first) + 1]]
        if not by_name:
            listed = ", ".join(fold.name for fold in folds)
            raise ConfigError(
                f"--folds {name}: no such fold; there are {listed}, or 0-{len(folds) - 1}"
            )
        chosen.update(by_name)
    return [fold for fold in folds if fold.name in chosen]


def _refuse_held(directories: Iterable[Path]) -> None:
    """Refuse to begin where another process works: before anything is read, not hours later.

    Raises:
        TrainingError: If a fold is held; the text says by whom.
    """
    for directory in directories:
        if directory.is_dir():
            with held_alone(directory):
                pass
