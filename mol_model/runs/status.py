"""What becomes of the folds of a run, as files beside their checkpoints.

Nothing here needs torch: a run on a cluster is asked for its state often, and must answer at once.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mol_model.config.run_layout import (
    FAILED_NAME,
    LOG_NAME,
    PREDICTIONS_NAME,
    RUN_NAME,
    RUNNING_NAME,
    fold_directory,
)
from mol_model.scoring.documents import Failed, RunDocument, Running, read_checked
from mol_model.training.metric_log import read_metric_log
from mol_pipeline.contract.errors import ManifestError, MolError, StoppedOnRequest
from mol_pipeline.contract.files import write_atomically

SILENT_S = 600.0
"""A fold on another machine that logged nothing for so long is taken for stopped."""

State = Literal["done", "running", "stopped", "failed", "waiting"]


@dataclass(frozen=True)
class FoldStatus:
    """State of one fold."""

    fold: str
    state: State
    step: int
    """Last logged step."""
    words: str
    """Where it runs, or why it failed."""


@contextmanager
def marked_as_running(directory: Path) -> Iterator[None]:
    """Say in a fold's directory that it is being trained, and what stopped it."""
    directory.mkdir(parents=True, exist_ok=True)
    who = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "since": time.time(),
    }
    running, failed = directory / RUNNING_NAME, directory / FAILED_NAME
    write_atomically(running, json.dumps(who).encode())
    failed.unlink(missing_ok=True)
    try:
        yield
    except StoppedOnRequest:
        raise
    except MolError as error:
        write_atomically(failed, json.dumps({"message": str(error)}).encode())
        raise
    finally:
        running.unlink(missing_ok=True)


def read_states(run: Path) -> list[FoldStatus]:
    """State of every fold of a run, in the order of the protocol.

    Raises:
        ManifestError: If the directory holds no run.
    """
    path = run / RUN_NAME
    try:
        folds = read_checked(path, RunDocument, ManifestError, "name a run of moltrain")["folds"]
    except FileNotFoundError:
        raise ManifestError(f"{run}: holds no run of moltrain (no {path.name})") from None
    return [_state(fold_directory(run, fold), fold) for fold in folds]


def _state(directory: Path, fold: str) -> FoldStatus:
    log = read_metric_log(directory)
    step = int(log[-1]["step"]) if log else 0
    if (directory / PREDICTIONS_NAME).is_file():
        return FoldStatus(fold, "done", step, "")
    remove = "remove it and run the fold again"
    if (directory / FAILED_NAME).exists():
        failed = read_checked(directory / FAILED_NAME, Failed, ManifestError, remove)
        return FoldStatus(fold, "failed", step, failed["message"])
    try:
        who = read_checked(directory / RUNNING_NAME, Running, ManifestError, remove)
    except FileNotFoundError:
        return FoldStatus(fold, "stopped" if step else "waiting", step, "")
    job = f", job {who.get('job')}" if who.get("job") else ""
    words = f"{who['host']}, process {who['process']}{job}"
    return FoldStatus(fold, "running" if _lives(directory, who) else "stopped", step, words)


def _lives(directory: Path, who: dict) -> bool:
    """Whether the process that marked a fold still works on it."""
    if who["host"] == socket.gethostname():
        try:
            os.kill(who["process"], 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    log = directory / LOG_NAME
    heard = max(who["since"], log.stat().st_mtime if log.is_file() else 0.0)
    return time.time() - heard < SILENT_S
