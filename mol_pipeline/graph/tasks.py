"""What runs on the workers: prepare a video, write a shard.

Only paths and settings go to the workers and only short outcomes come back; prepared videos wait
on disk. A task may run twice, at once or long after nobody waits for it: it writes below the
folder of its run, under names that no other content can have, and deletes nothing.
"""

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from distributed import get_worker

from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.errors import SourceError, refusal_number
from mol_pipeline.contract.labels import LabelMapping
from mol_pipeline.contract.manifest import RejectedVideo
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.graph.fitness import THIS_PROCESS, Identity, UnfitWorker, model_here, numbers
from mol_pipeline.graph.ledger import Failure
from mol_pipeline.graph.run_folder import DamagedSpool, Outcome, OutOfSight, RunFolder
from mol_pipeline.graph.workplace import LASTING, Receipt
from mol_pipeline.kernels.flow import backend as flow_backend
from mol_pipeline.reading.source_faults import PAUSES_S
from mol_pipeline.shards.files import PreparedVideo, write_shard
from mol_pipeline.stages.video import (
    Rejection,
    SourceFault,
    prepare_video,
    rejected_video,
    video_record,
)

Result = TypeVar("Result")


class CannotWrite(Exception):  # it is mapped to the error of the build
    """A worker cannot write where the build is made."""

    def __init__(self, worker: str, number: int, text: str) -> None:
        super().__init__(worker, number, text)
        self.worker = worker
        self.errno = number
        self.text = text


@dataclass(frozen=True)
class Commission:
    """What all tasks of a run share."""

    folder: RunFolder
    root: Path
    config: BuildConfig
    mappings: tuple[LabelMapping, ...]
    model: Path
    """Landmark model as the builder sees it; a worker looks for the same file by its hash."""
    model_sha256: str
    builder: Identity


@dataclass(frozen=True)
class WrittenShard:
    """A shard that waits to be taken by the builder."""

    file: Path | None
    """None if every video of it was rejected."""
    receipt: Receipt


def prepare(
    commission: Commission, number: int, video: SourceVideo, *, afresh: bool = False
) -> Outcome:
    """Task: prepare one video onto disk.

    Args:
        commission: Of the run.
        number: Position in the index.
        video: To prepare.
        afresh: Do not trust what the folder of the run holds of it.

    Raises:
        UnfitWorker: If this worker would compute something else.
        SourceFault: If its files are out of reach.
        CannotWrite: If its outcome cannot be kept.
    """
    model = fit_for(commission)
    found = None if afresh else commission.folder.outcome(number)
    if found is not None:
        return found
    what: PreparedVideo | RejectedVideo
    try:
        what = prepare_video(
            video, commission.root, commission.config, model, scratch=commission.folder.path
        )
    except SourceFault:
        raise
    except OSError as error:  # of the arrays of a long video
        text = error.strerror or str(error)
        raise CannotWrite(worker_name(), error.errno or 0, text) from error
    except Rejection as rejection:
        message = str(rejection).replace(
            f"{commission.root}{os.sep}", ""
        )  # no path of this machine
        what = rejected_video(video, rejection.code, message)
    keep = functools.partial(commission.folder.keep, number, video.key, what)
    solver = flow_backend(commission.config.flow).name
    return _written(commission, lambda: keep(numbers=numbers(), flow_backend=solver))


def write(
    commission: Commission,
    shard: int,
    name: str,
    videos: Mapping[int, SourceVideo],
    outcomes: Mapping[int, Outcome | Failure],
) -> WrittenShard:
    """Task: write one shard from the prepared videos.

    Args:
        commission: Of the run.
        shard: Its number.
        name: Its final file name.
        videos: Its videos by position in the index, in their order.
        outcomes: What became of each.

    Raises:
        UnfitWorker: If this worker would write something else.
        DamagedSpool: If a prepared video is not what was recorded.
        CannotWrite: If the shard cannot be written.
    """
    fit_for(commission)
    stored, rejected = _sorted_out(commission, videos, outcomes)
    records, row = [], 0
    for video, prepared in stored:
        records.append(
            video_record(video, prepared, commission.mappings, shard=name, first_row=row)
        )
        row += prepared.clips
    file = record = None
    if stored:
        file = commission.folder.new_shard_file(shard)
        path, config = file, commission.config
        written = _written(
            commission,
            lambda: write_shard(
                path,
                [prepared for _, prepared in stored],
                compression=config.shards.compression,
                config_hash=config.hash,
            ),
        )
        record = written.model_copy(update={"file": name})
    prepared_here = [one for one in outcomes.values() if isinstance(one, Outcome)]
    receipt = Receipt(
        shard=record,
        videos=tuple(records),
        rejected=tuple(rejected),
        numbers=tuple(sorted({one.numbers for one in prepared_here})),
        flow_backends=tuple(sorted({one.flow_backend for one in prepared_here})),
    )
    return WrittenShard(file, receipt)


def _sorted_out(
    commission: Commission,
    videos: Mapping[int, SourceVideo],
    outcomes: Mapping[int, Outcome | Failure],
) -> tuple[list[tuple[SourceVideo, PreparedVideo]], list[RejectedVideo]]:
    """The videos that are to be stored, and those that are not.

    Raises:
        DamagedSpool: If a prepared video is not what was recorded.
    """
    stored: list[tuple[SourceVideo, PreparedVideo]] = []
    rejected: list[RejectedVideo] = []
    damaged: dict[int, str] = {}
    for number, video in videos.items():
        outcome = outcomes[number]
        if isinstance(outcome, Failure):
            rejected.append(rejected_video(video, outcome.code, outcome.reason))
        elif outcome.rejected is not None:
            rejected.append(outcome.rejected)
        else:
            try:
                stored.append((video, _read_back(commission, video, outcome)))
            except ValueError as error:
                damaged[number] = str(error)
    if damaged:
        raise DamagedSpool(damaged)
    return stored, rejected


def _read_back(commission: Commission, video: SourceVideo, outcome: Outcome) -> PreparedVideo:
    """A prepared video, proved to be that of this video.

    Raises:
        ValueError: If it is not.
    """
    if outcome.key != video.key:
        raise ValueError(f"its record is that of {outcome.key}")
    return commission.folder.prepared(outcome)


def fit_for(commission: Commission) -> Path:
    """Make sure that this worker computes what the builder would; returns its landmark model.

    Raises:
        UnfitWorker: If it does not.
    """
    differences = commission.builder.differences(THIS_PROCESS)
    if differences:
        raise UnfitWorker(worker_name(), f"has {', '.join(differences)}")
    numbers()  # see there: before several threads compute
    try:
        commission.folder.check(beside=commission.root)
        return model_here(commission.model, commission.model_sha256)
    except (OutOfSight, SourceError) as error:
        raise UnfitWorker(worker_name(), str(error)) from error


def worker_name() -> str:
    """Of this process, for messages."""
    try:
        worker = get_worker()
    except ValueError:
        return f"process {os.getpid()}"
    return f"{worker.name} at {worker.address}"


def _written(commission: Commission, work: Callable[[], Result]) -> Result:
    """Do what writes to the folder of the run; what may pass is tried again.

    Raises:
        CannotWrite: If it cannot be written.
    """
    for pause in (*PAUSES_S, None):
        try:
            return work()
        except OSError as error:
            if pause is None or refusal_number(error) in LASTING:
                if not commission.folder.path.is_dir():
                    raise UnfitWorker(
                        worker_name(), f"does not see {commission.folder.path}"
                    ) from error
                text = error.strerror or str(error)
                raise CannotWrite(worker_name(), refusal_number(error) or 0, text) from error
            time.sleep(pause)
    raise AssertionError  # the last try returns or raises
