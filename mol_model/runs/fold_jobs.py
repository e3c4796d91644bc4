"""Folds in processes of their own, several at once, on one copy of the clips."""

import logging
import multiprocessing
import queue
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing  # lets tensors travel between processes by handle

from mol_model import distributed
from mol_model.clips.source import ClipSource
from mol_model.clips.sums import ClipStatistics
from mol_model.clips.views import Normalisation
from mol_model.config.run_layout import PREDICTIONS_NAME, RUN_NAME, run_of_fold
from mol_model.config.settings import RunConfig
from mol_model.pictures.example import draw_example
from mol_model.protocols.folds import Fold
from mol_model.runs.failures import LESS_MEMORY, named_failures, release_memory
from mol_model.runs.holds import held_alone
from mol_model.runs.status import marked_as_running
from mol_model.scoring.evaluation import evaluate_fold
from mol_model.scoring.predictions import save_predictions
from mol_model.training.fold import train_fold
from mol_model.training.pace import StepReport
from mol_pipeline.contract.errors import ManifestError, MolError, StoppedOnRequest, TrainingError
from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.parent import end_with_parent
from mol_pipeline.contract.stopping import asked_to_stop, hold_stop_signals, listen_from_now_on

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunProgress:
    """State of a run, for whoever draws it."""

    folds_done: int
    folds: int
    fold: str
    step: StepReport | None
    """None when the fold has just finished."""
    note: str = ""
    """Words about the run instead; no fold is meant."""


@dataclass(frozen=True)
class FoldJob:
    """One fold to train and test."""

    fold: Fold
    config: RunConfig
    directory: Path
    run_sha256: str = ""
    """Of the `run.json` that it belongs to; another process may start the run anew."""


@dataclass(frozen=True)
class Shared:
    """What all folds of a run read and none changes."""

    source: ClipSource
    statistics: ClipStatistics


def run_fold(job: FoldJob, shared: Shared, on_step: Callable[[StepReport], None]) -> None:
    """Train, test and draw one fold; its predictions are written last.

    Nothing is done if another process finished it meanwhile.

    Raises:
        MolError: If it cannot be trained; the reason stays in its directory.
    """
    if distributed.rank() > 0:
        distributed.wait()  # until the first one has the fold
        with named_failures(job.directory):
            _train(job, shared, on_step)
        return
    with named_failures(job.directory), held_alone(job.directory):
        _check_run(job)
        distributed.wait()
        if distributed.count() == 1 and (job.directory / PREDICTIONS_NAME).is_file():
            return
        _train_and_test(job, shared, on_step)


def _check_run(job: FoldJob) -> None:
    """Refuse to train for a run that is no more.

    Raises:
        TrainingError: If another process started it anew, with other settings or data.
    """
    path = run_of_fold(job.directory) / RUN_NAME
    if job.run_sha256 and not (path.is_file() and hash_file(path) == job.run_sha256):
        raise TrainingError(
            f"{path}: another process started this run anew; choose another --out, or run again"
        )


def _train_and_test(job: FoldJob, shared: Shared, on_step: Callable[[StepReport], None]) -> None:
    with marked_as_running(job.directory), named_failures(job.directory):
        model, normalisation = _train(job, shared, on_step)
        source = shared.source
        shape = shared.statistics.mean_landmarks(source.data.clips_of(job.fold.train))
        predictions = evaluate_fold(model, source, job.fold, normalisation, shape)
        if job.fold.test:
            draw_example(model, source, job.fold, normalisation, job.directory)
        source.data.check_unchanged()
        save_predictions(job.directory, predictions)


def _train(job: FoldJob, shared: Shared, on_step: Callable[[StepReport], None]) -> tuple:
    model, record = train_fold(
        shared.source,
        job.fold,
        job.config,
        job.directory,
        statistics=shared.statistics,
        on_step=on_step,
    )
    return model, Normalisation(record.mean, record.std)


def run_folds_here(
    work: Sequence[FoldJob],
    shared: Shared,
    folds: int,
    on_progress: Callable[[RunProgress], None],
) -> None:
    """Run folds one after the other in this process, or in all processes of `torchrun`.

    Raises:
        MolError: As `run_folds`.
    """
    done = folds - len(work)
    failed: dict[str, MolError] = {}
    for job in work:
        if distributed.any_of(asked_to_stop(), shared.source.device):
            raise _stopped(folds)

        def report(step: StepReport, done: int = done, name: str = job.fold.name) -> None:
            on_progress(RunProgress(done, folds, name, step))

        try:
            run_fold(job, shared, report)
        except (StoppedOnRequest, ManifestError):
            raise  # no fold can be trusted to damaged shards
        except MolError as error:
            if distributed.count() > 1:
                raise  # the other processes cannot know of it and would wait
            failed[job.fold.name] = _note(error)
        if job.fold.name in failed:
            release_memory(shared.source.device)
            continue
        distributed.wait()
        done += 1
        on_progress(RunProgress(done, folds, job.fold.name, None))
    _refuse(failed, folds)


def run_folds(
    work: Sequence[FoldJob],
    shared: Shared,
    jobs: int,
    threads: int,
    folds: int,
    on_progress: Callable[[RunProgress], None],
) -> None:
    """Run folds in processes of their own.

    A fold that cannot be trained does not stop the others; it is an error in the end.

    Args:
        work: Folds that are not finished.
        shared: What they read.
        jobs: Folds at once.
        threads: Of each process.
        folds: Of the run, finished ones included.
        on_progress: Called for logged steps and finished folds.

    Raises:
        StoppedOnRequest: If a stop signal came; every fold has saved its state.
        TrainingError: If folds failed, after all others are finished.
    """
    if not work:
        return
    shared = replace(shared, source=shared.source.share_cache(jobs))
    context = multiprocessing.get_context("spawn")
    with hold_stop_signals():
        resource_tracker.ensure_running()  # the helper that multiprocessing starts for itself
    events = context.Queue()
    with ProcessPoolExecutor(
        jobs, context, initializer=_begin, initargs=(shared, threads, events)
    ) as pool:
        with hold_stop_signals():
            waiting = {pool.submit(_run_in_process, job): job for job in work}
        try:
            failed = _watch(waiting, events, folds, on_progress)
        except BrokenProcessPool as error:
            raise TrainingError(
                "a process that trained a fold died, most likely out of memory; finished folds "
                f"are kept: {LESS_MEMORY}"
            ) from error
        except BaseException:
            _end(pool)
            raise
    _refuse(failed, folds)


def _note(error: MolError) -> MolError:
    """Say at once what will be an error in the end, while the other folds go on.

    Returns the error without its traceback and causes: these hold the fold's network, optimiser
    and batches in memory for as long as the error is kept.
    """
    logger.error("%s", str(error))  # a record of a log may be kept, and must not keep the error
    return type(error)(str(error))


def _refuse(failed: dict[str, MolError], folds: int) -> None:
    """Say which folds failed, after all others are finished."""
    if not failed:
        return
    name, first = next(iter(failed.items()))
    if len(failed) == 1 and not isinstance(first, TrainingError):
        raise first
    raise TrainingError(
        f"{len(failed)} of {folds} folds failed ({', '.join(failed)}), the others are "
        f"finished; {name}: {first}"
    ) from first


def _watch(
    waiting: dict[Future[None], FoldJob],
    events: Any,
    folds: int,
    on_progress: Callable[[RunProgress], None],
) -> dict[str, MolError]:
    """Wait for all folds; returns what those raised that failed."""
    failed: dict[str, MolError] = {}
    done = folds - len(waiting)
    while waiting:
        if asked_to_stop():
            raise _stopped(folds)
        finished, _ = wait(waiting, timeout=0.3, return_when=FIRST_COMPLETED)
        _drain(events, done, folds, on_progress)
        for future in finished:
            job = waiting.pop(future)
            error = future.exception()
            if error is None:
                done += 1
                on_progress(RunProgress(done, folds, job.fold.name, None))
            elif isinstance(error, MolError) and not isinstance(
                error, StoppedOnRequest | ManifestError
            ):
                failed[job.fold.name] = _note(error)
            else:
                raise error
    return failed


def _stopped(folds: int) -> StoppedOnRequest:
    return StoppedOnRequest(
        f"stopped on request before all {folds} folds were finished; those in work saved their "
        "state: run again to continue"
    )


def _end(pool: ProcessPoolExecutor) -> None:
    """Ask the processes to save and end; end those that do not."""
    children = multiprocessing.active_children()
    pool.shutdown(wait=False, cancel_futures=True)
    for process in children:
        process.terminate()
    for process in children:
        process.join(distributed.LONGEST_SAVE_S)
        if process.is_alive():
            process.kill()  # checkpoints are written by rename: nothing breaks


def _drain(events: Any, done: int, folds: int, on_progress: Callable[[RunProgress], None]) -> None:
    while True:
        try:
            fold, step = events.get_nowait()
        except queue.Empty:
            return
        on_progress(RunProgress(done, folds, fold, step))


class _Process:
    """What a process of the pool was given when it started."""

    shared: Shared
    events: Any


def _begin(shared: Shared, threads: int, events: Any) -> None:
    """Process: take what is shared; leave Ctrl-C to the main process, which ends the others."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listen_from_now_on()
    torch.set_num_threads(threads)
    distributed.make_current(shared.source.device)
    _Process.shared, _Process.events = shared, events


def _run_in_process(job: FoldJob) -> None:
    if asked_to_stop():  # after a fold that was stopped the pool may still hand out another
        raise StoppedOnRequest(f"fold {job.fold.name}: not begun, asked to stop")
    try:
        run_fold(job, _Process.shared, lambda report: _Process.events.put((job.fold.name, report)))
    except MolError as error:
        failed = type(error)(str(error))
    else:
        return
    # Here and without its causes: this process keeps its last error, with all that hangs on it.
    release_memory(_Process.shared.source.device)
    raise failed
