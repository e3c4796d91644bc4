"""A run: all folds of a protocol, several at once, resumed, pooled, reported.

config.yaml         settings, resolved; can be fed back with --config
run.json            what the run is: data, protocol, settings
folds/NAME/         checkpoint, metrics.jsonl, tensorboard/, pictures
folds/NAME/predictions.json   the fold is finished
predictions.csv     one line per held-out video
metrics.json        pooled scores
report.html         all of it to look at
"""

import csv
import json
import logging
import multiprocessing
import os
import queue
import shutil
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mol_model.config import RunConfig
from mol_model.data import ShardSet
from mol_model.evaluation import (
    VideoPrediction,
    evaluate_fold,
    pooled_metrics,
    prediction_from_json,
    prediction_to_json,
)
from mol_model.pictures import draw_example
from mol_model.protocols import PROTOCOL_TITLES, Fold, make_folds
from mol_model.training import SELECTIONS, StepReport, train_fold
from mol_model.transforms import Normalisation
from mol_pipeline.contract.manifest import hash_document, write_atomically
from mol_pipeline.contract.settings import dump_settings
from mol_pipeline.errors import ConfigError

logger = logging.getLogger(__name__)

PROTOCOLS = ("loso",)


@dataclass(frozen=True)
class RunOptions:
    """Where and how a run is done; changes no number."""

    out: Path
    device: str = "auto"
    jobs: int | None = None
    """Folds at once; one a core on a CPU, one on a GPU if None."""
    folds: tuple[str, ...] = ()
    """Only these folds; all if empty."""
    overwrite: bool = False


@dataclass(frozen=True)
class RunProgress:
    """State of a run, for whoever draws it."""

    folds_done: int
    folds: int
    fold: str
    step: StepReport | None
    """None when the fold has just finished."""


@dataclass(frozen=True)
class _FoldJob:
    directories: tuple[Path, ...]
    mapping: str
    config: RunConfig
    fold: Fold
    directory: Path
    device: str
    threads: int


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA where it is.

    Raises:
        ConfigError: If CUDA is asked for and absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"--device {name}: no CUDA device here (torch {torch.__version__}); use --device cpu"
        )
    return torch.device(name)


def load_data(directories: Sequence[Path], mapping: str | None, config: RunConfig) -> ShardSet:
    """Open the shards of a run; see `ShardSet` for the errors."""
    paths = [directory.resolve() for directory in directories]
    return ShardSet(
        paths, mapping=mapping, protocol=config.protocol.name, cache_mb=config.data.cache_mb
    )


def fit(
    data: ShardSet,
    config: RunConfig,
    options: RunOptions,
    *,
    on_progress: Callable[[RunProgress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train and test every fold of the protocol; returns the pooled metrics.

    A finished fold is not run again; an interrupted one continues.

    Args:
        data: The shards.
        config: Settings, fitted to the data by `fit_to_data`.
        options: Where and how.
        on_progress: Called for logged steps and finished folds.

    Raises:
        ManifestError: If a shard cannot be read.
        ConfigError: If `out` holds another run, or a fold or device is unknown.
        TrainingError: If a fold cannot be trained.
    """
    all_folds = make_folds(data.samples, data.classes, config.protocol)
    folds = select_folds(all_folds, options.folds)
    device = choose_device(options.device)
    out = options.out.resolve()
    _open_run(out, data, config, options.overwrite)

    todo = [fold for fold in folds if not _predictions_path(out, fold).is_file()]
    jobs = options.jobs or (1 if device.type == "cuda" else os.cpu_count() or 1)
    jobs = max(1, min(jobs, len(todo)))
    work = [
        _FoldJob(
            directories=data.directories,
            mapping=data.mapping,
            config=config,
            fold=fold,
            directory=out / "folds" / fold.name,
            device=str(device),
            threads=max(1, (os.cpu_count() or 1) // jobs),
        )
        for fold in todo
    ]
    _run_folds(work, jobs, len(folds), on_progress)

    predictions = [
        prediction_from_json(document)
        for fold in folds
        for document in json.loads(_predictions_path(out, fold).read_bytes())
    ]
    metrics = {
        "synthetic": data.synthetic,
        "databases": list(data.databases),
        "protocol": PROTOCOL_TITLES[config.protocol.name],
        "label_mapping": data.mapping,
        "selection": config.training.selection,
        "selection_means": SELECTIONS[config.training.selection],
        "seed": config.training.seed,
        "manifest_hash": data.manifest_hash,
        **pooled_metrics(predictions, data.classes),
    }
    write_atomically(out / "metrics.json", (json.dumps(metrics, indent=1) + "\n").encode())
    write_predictions(out / "predictions.csv", predictions, data.classes, synthetic=data.synthetic)
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


def write_predictions(
    path: Path, predictions: Sequence[VideoPrediction], classes: Sequence[str], *, synthetic: bool
) -> None:
    """One line per held-out video, with the probability of each class."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["fold", "database", "subject", "clip", "truth", "predicted"]
            + [f"p_{name}" for name in classes]
            + ["end_point_error_px", "inter_ocular_nme", "synthetic"]
        )
        for one in predictions:
            probabilities = [f"{p:.6f}" for p in one.probabilities]
            predicted = classes[one.predicted] if one.probabilities else ""
            nme = sum(one.nme) / len(one.nme)
            writer.writerow(
                [one.fold, one.database, one.subject, one.clip, classes[one.label], predicted]
                + (probabilities or [""] * len(classes))
                + [f"{one.end_point_error:.4f}", f"{nme:.5f}", "yes" if synthetic else "no"]
            )
    temporary.replace(path)


def _predictions_path(out: Path, fold: Fold) -> Path:
    return out / "folds" / fold.name / "predictions.json"


def _open_run(out: Path, data: ShardSet, config: RunConfig, overwrite: bool) -> None:
    """Start or continue a run in `out`; refuse a directory that holds something else."""
    identity = {
        "protocol": config.protocol.name,
        "label_mapping": data.mapping,
        "manifest_hash": data.manifest_hash,
        "config_hash": hash_document(config.model_dump(mode="json")),
        "synthetic": data.synthetic,
    }
    path = out / "run.json"
    if out.is_dir() and any(out.iterdir()):
        if not path.is_file():
            raise ConfigError(f"{out}: already in use and holds no run; choose another --out")
        if overwrite:
            shutil.rmtree(out)
        else:
            before = json.loads(path.read_bytes())
            changed = [key for key in identity if before.get(key) != identity[key]]
            if changed:
                raise ConfigError(
                    f"{out}: holds a run with another {' and '.join(changed)}; choose another "
                    "--out, or --overwrite to start anew"
                )
    elif out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; --out must name a directory")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "config.yaml", dump_settings(config).encode())
    write_atomically(path, (json.dumps(identity, indent=1) + "\n").encode())


def _run_folds(
    work: Sequence[_FoldJob],
    jobs: int,
    folds: int,
    on_progress: Callable[[RunProgress], None],
) -> None:
    """Run folds in processes of their own; the first error stops the rest."""
    done = folds - len(work)
    if not work:
        return
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        events = manager.Queue()
        others = set(multiprocessing.active_children())  # the manager's
        with ProcessPoolExecutor(jobs, context, initializer=_leave_interrupts) as pool:
            waiting = {pool.submit(_run_fold, job, events): job for job in work}
            try:
                while waiting:
                    finished, _ = wait(waiting, timeout=0.3, return_when=FIRST_COMPLETED)
                    _drain(events, done, folds, on_progress)
                    for future in finished:
                        job = waiting.pop(future)
                        future.result()
                        done += 1
                        on_progress(RunProgress(done, folds, job.fold.name, None))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()  # checkpoints are written by rename: nothing breaks
                raise


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the main process, which ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _drain(events: Any, done: int, folds: int, on_progress: Callable[[RunProgress], None]) -> None:
    while True:
        try:
            fold, step = events.get_nowait()
        except queue.Empty:
            return
        on_progress(RunProgress(done, folds, fold, step))


def _run_fold(job: _FoldJob, events: Any) -> None:
    """Process: train, test and draw one fold; predictions are written last."""
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    data = load_data(job.directories, job.mapping, job.config)
    model, record = train_fold(
        data,
        job.fold,
        job.config,
        job.directory,
        device=device,
        on_step=lambda report: events.put((job.fold.name, report)),
    )
    normalisation = Normalisation(record.mean, record.std)
    predictions = evaluate_fold(model, data, job.fold, normalisation, device=device)
    draw_example(model, data, job.fold, normalisation, job.directory, device=device)
    content = json.dumps([prediction_to_json(one) for one in predictions]).encode()
    write_atomically(job.directory / "predictions.json", content)
