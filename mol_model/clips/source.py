"""Clips on the device that computes: all of them at once, or streamed ahead of their use."""

import logging
import pickle
import shutil
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Literal

import torch

from mol_model.clips.batch import ClipBatch
from mol_model.clips.shards import ShardSet
from mol_pipeline.contract.stopping import refuse_if_asked

logger = logging.getLogger(__name__)

LARGEST_SHARE = 0.6
"""Of the free memory of a device that resident clips may take."""

DECODED_AT_ONCE = 64
"""Clips that are read together while a device is filled."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps memory that processes share."""


@dataclass
class ClipSource:
    """Gives batches on a device.

    Folds that train in several processes share the resident clips: CUDA memory by handle,
    that of a CPU as shared memory.
    """

    data: ShardSet
    device: torch.device
    resident: ClipBatch | None = None
    """All clips as they are stored (uint8 frames, float16 flow), or None to stream."""
    workers: int = 0
    """Processes that decompress streamed clips; 0: a thread of this process."""
    checked: str | None = None
    """What the proof of the shards' bytes cost, in words; None if they were proven before."""

    def __getstate__(self) -> dict[str, Any]:
        """For another process: CUDA memory travels by handle, where handles can be shared."""
        state = dict(vars(self))
        if self.resident is not None and self.resident.device.type == "cuda":
            state["resident"] = _by_handle(self.resident)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In the other process: take the clips by their handle, or stream them."""
        if isinstance(state["resident"], bytes):
            state["resident"] = _from_handle(state["resident"])
        vars(self).update(state)

    def share_cache(self, among: int) -> "ClipSource":
        """The same clips for each of several processes; see `ShardSet.share_cache`."""
        return replace(self, data=self.data.share_cache(among))

    def read(self, clips: Sequence[int]) -> ClipBatch:
        """Clips by number, on the device.

        Raises:
            ManifestError: If a shard cannot be read.
        """
        if self.resident is not None:
            return self.resident.take(clips)
        return self.data.read(clips).to(self.device)

    def batches(self, plan: Iterable[Sequence[int]]) -> Generator[ClipBatch]:
        """Batch after batch, on the device, read and sent ahead of their use.

        To be closed (`contextlib.closing`): what reads ahead ends then.

        Raises:
            ManifestError: If a shard cannot be read.
        """
        if self.resident is not None:
            return (self.resident.take(clips) for clips in plan)
        on_cuda = self.device.type == "cuda"
        batches = self.data.batches(plan, workers=self.workers, pin=on_cuda)
        return _sent_ahead(batches, self.device) if on_cuda else batches


def _sent_ahead(batches: Generator[ClipBatch], device: torch.device) -> Generator[ClipBatch]:
    """Copy each batch to a CUDA device while the one before it is in use."""
    copies = torch.cuda.Stream(device)
    waiting: tuple[ClipBatch, torch.cuda.Event] | None = None
    with closing(batches):
        for batch in batches:
            with torch.cuda.stream(copies):
                sent = batch.to(device), copies.record_event()
            if waiting is not None:
                yield _arrived(*waiting, device)
            waiting = sent
    if waiting is not None:
        yield _arrived(*waiting, device)


def _arrived(batch: ClipBatch, copied: torch.cuda.Event, device: torch.device) -> ClipBatch:
    """Let the stream that computes on a device wait for a copy, and keep its memory until then."""
    stream = torch.cuda.current_stream(device)
    stream.wait_event(copied)
    for tensor in batch.tensors():
        tensor.record_stream(stream)
    return batch


def _by_handle(clips: ClipBatch) -> bytes | None:
    """What another process finds the clips by; None where the system shares no CUDA memory."""
    try:
        return bytes(ForkingPickler.dumps(clips))
    except RuntimeError as error:
        logger.warning("clips stream: CUDA memory cannot be shared here (%s)", error)
        return None


def _from_handle(handle: bytes) -> ClipBatch | None:
    """The clips of another process; None where they cannot be reached."""
    try:
        return pickle.loads(handle)  # of the process that started this one
    except RuntimeError as error:
        logger.warning("clips stream: CUDA memory cannot be shared here (%s)", error)
        return None


def open_source(
    data: ShardSet,
    device: torch.device,
    cache: Literal["auto", "device", "stream"],
    workers: int = 0,
) -> ClipSource:
    """Prove the shards, then keep the clips on the device where they fit, else stream them.

    Args:
        data: The shards.
        device: Where to compute.
        cache: `auto` keeps them if they take at most `LARGEST_SHARE` of the free memory.
        workers: For streaming.

    Raises:
        ManifestError: If a shard is not what its manifest says, or cannot be read.
    """
    checked = data.check_bytes()
    if cache == "stream" or (
        cache == "auto" and data.bytes > LARGEST_SHARE * _free_bytes(data, device)
    ):
        return ClipSource(data, device, None, workers, checked)
    logger.info("%.0f MB of clips go to %s", data.bytes / 1e6, device)
    try:
        resident = _all_clips(data, device)
    except torch.OutOfMemoryError as error:  # others use the device too
        if cache == "device":
            raise
        logger.warning("clips stream: there is no room for them on %s (%s)", device, error)
        return ClipSource(data, device, workers=workers)
    if resident is not None and device.type == "cpu":
        try:
            resident.share_memory()
        except RuntimeError as error:
            logger.warning("clips stream: there is no shared memory for them (%s)", error)
            return ClipSource(data, device, None, workers, checked)
    return ClipSource(data, device, resident, workers, checked)


def _all_clips(data: ShardSet, device: torch.device) -> ClipBatch | None:
    """All clips on a device; None if there are none."""
    resident: ClipBatch | None = None
    numbers = range(len(data.video_of_clip))
    for first in range(0, len(numbers), DECODED_AT_ONCE):
        refuse_if_asked("the clips were still being read")
        part = data.read(numbers[first : first + DECODED_AT_ONCE], keep=False)
        if resident is None:
            resident = part.empty_like(len(numbers), device)
        resident.fill(first, part)
    return resident


def _free_bytes(data: ShardSet, device: torch.device) -> int:
    """Bytes that resident clips could take of a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    # Shared memory is often small in containers; a process that overruns it is killed.
    shared = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
    return min(data.cache_bytes, shared)
