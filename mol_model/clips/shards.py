"""Clips from shards: which there are, and how they reach the training loop."""

import copy
import logging
import math
import queue
import signal
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mol_model import distributed
from mol_model.clips.batch import ClipBatch
from mol_model.protocols.folds import Sample, sample_of
from mol_model.protocols.given import check_given_together, check_key_frames
from mol_model.protocols.mapping import common_mapping
from mol_pipeline.contract.errors import ConfigError, ManifestError
from mol_pipeline.contract.files import hash_document
from mol_pipeline.contract.manifest import VideoRecord
from mol_pipeline.contract.manifest_file import read_manifest
from mol_pipeline.contract.parent import end_with_parent
from mol_pipeline.contract.shard_guard import ShardGuard
from mol_pipeline.contract.shard_layout import ARRAYS_BY_NAME, HDF5_DAMAGE, KEY_ARRAY_NAMES
from mol_pipeline.contract.stopping import hold_stop_signals, leave_stopping_to_parent
from mol_pipeline.shards.opening import check_against_shards, open_shard

JOINT_ARRAYS = ("frames", "flow", "landmarks")
"""What MOL reads of a shard."""

logger = logging.getLogger(__name__)

READ_AHEAD = 2
"""Batches that a background thread prepares while one is in use."""


def _begin_reading(number: int) -> None:
    """Process that reads: ends with the one that trains, and leaves every signal to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    leave_stopping_to_parent()


class ShardSet(Dataset[ClipBatch | ManifestError]):
    """The videos of some shard directories that take part under one label mapping.

    Args:
        directories: Each with a manifest.
        mapping: Name of the label mapping; None for the first that the databases share.
        protocol: Name of the protocol; see `common_mapping`.
        arrays: What is read of each clip, by its name in a shard.
        cache_mb: Decoded clips are kept up to this size.

    Raises:
        ManifestError: If a manifest or a shard is missing, damaged or of another schema.
        ConfigError: If there is no video under the mapping, or directories do not go together.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        *,
        mapping: str | None = None,
        protocol: str = "loso",
        arrays: Sequence[str] = JOINT_ARRAYS,
        cache_mb: int = 4096,
    ) -> None:
        self.directories = tuple(directories)
        self.arrays = tuple(arrays)
        self.manifests = tuple(read_manifest(directory) for directory in directories)
        self._guard = ShardGuard(
            {
                directory / shard.file: shard
                for directory, manifest in zip(self.directories, self.manifests, strict=True)
                for shard in manifest.shards
            }
        )
        for directory, manifest in zip(self.directories, self.manifests, strict=True):
            if words := check_against_shards(directory, manifest):
                logger.warning("%s", words)
        check_given_together(self.directories, self.manifests)
        self.mapping, self.classes = common_mapping(self.manifests, mapping, protocol)
        self.frames = self._clip_length()
        self.videos: list[VideoRecord] = []
        self.samples: list[Sample] = []
        self._place: list[tuple[Path, int, int]] = []
        self.video_of_clip: list[int] = []
        for directory, manifest in zip(self.directories, self.manifests, strict=True):
            places: Counter[str] = Counter()
            for video in manifest.videos:
                sample = sample_of(video, self.mapping, self.classes)
                if sample is not None:
                    self._add(directory, video, sample, places[video.shard])
                places[video.shard] += 1
        if not self.videos:
            raise ConfigError(
                f"no video has a label under mapping {self.mapping!r} in "
                f"{', '.join(map(str, directories))}"
            )
        if KEY_ARRAY_NAMES.intersection(self.arrays):
            check_key_frames(self.directories, self.manifests, self.videos)
        self._files: dict[Path, h5py.File] = {}
        self._cache: dict[int, tuple[np.ndarray, ...]] = {}
        self.cache_bytes = cache_mb * 2**20
        self._room = self.cache_bytes

    def __getstate__(self) -> dict[str, Any]:
        """Without open files and decoded clips: they do not travel to other processes."""
        return {**self.__dict__, "_files": {}, "_cache": {}, "_room": self.cache_bytes}

    def share_cache(self, among: int) -> "ShardSet":
        """The same data for each of several processes, which keep decoded clips on their own.

        This one forgets what it kept: the memory is theirs now.
        """
        part = copy.copy(self)
        part.cache_bytes = self.cache_bytes // among
        part._files, part._cache, part._room = {}, {}, part.cache_bytes
        self._cache, self._room = {}, self.cache_bytes
        return part

    @property
    def bytes(self) -> int:
        """Size of all clips as `read` gives them."""
        per_clip = sum(
            math.prod(array.row_shape(self.frames)) * np.dtype(array.dtype).itemsize
            for array in map(ARRAYS_BY_NAME.__getitem__, self.arrays)
        )
        return per_clip * len(self.video_of_clip)

    def shards_of(self, clips: Iterable[int]) -> list[int]:
        """The shard of each clip, as a number."""
        numbers: dict[Path, int] = {}
        return [numbers.setdefault(self._place[clip][0], len(numbers)) for clip in clips]

    @property
    def synthetic(self) -> bool:
        """Whether any of the data is made by `molprep demo`."""
        return any(manifest.synthetic for manifest in self.manifests)

    @property
    def databases(self) -> tuple[str, ...]:
        """Names of the databases, each once."""
        return tuple(dict.fromkeys(manifest.database for manifest in self.manifests))

    @property
    def manifest_hash(self) -> str:
        """Hash over all manifests: which data a result is about."""
        return hash_document([manifest.model_dump(mode="json") for manifest in self.manifests])

    @property
    def preparation(self) -> dict[str, Any] | None:
        """Settings by which `molprep build` made the clips; None if directories differ in them."""
        first, *others = (manifest.config for manifest in self.manifests)
        return dict(first) if all(other == first for other in others) else None

    @property
    def alignments(self) -> tuple[str, ...]:
        """How frames were aligned, each way once; `frame` where a manifest does not say."""
        found = [manifest.config.get("alignment", {}) for manifest in self.manifests]
        return tuple(dict.fromkeys(one.get("reference", "frame") for one in found))

    def check_bytes(self) -> str | None:
        """Prove every byte of the shards, once; returns its cost in words, None if done before.

        A clip is read from no shard that is not proven; here they are, by all cores.

        Raises:
            ManifestError: If a shard is not what its manifest says.
        """
        if distributed.first_on_node():
            cost = self._guard.check_bytes()
            distributed.wait()
            return cost
        distributed.wait()
        self._guard.checked_by_another()
        return None

    def check_unchanged(self) -> None:
        """Prove that no shard has changed since it was opened.

        Raises:
            ManifestError: If one has.
        """
        self._guard.check_unchanged()

    def clips_of(self, videos: Iterable[int]) -> list[int]:
        """Numbers of the clips of some videos."""
        wanted = set(videos)
        return [clip for clip, video in enumerate(self.video_of_clip) if video in wanted]

    def read(self, clips: Sequence[int], *, keep: bool = True) -> ClipBatch:
        """Read clips, one chunk each, from memory where they are kept.

        Args:
            clips: Their numbers.
            keep: Whether to keep them in memory, as long as there is room.

        Raises:
            ManifestError: If a shard cannot be read.
        """
        rows = [self._row(clip, keep) for clip in clips]
        columns = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
        labels = [self.samples[self.video_of_clip[clip]].target for clip in clips]
        return ClipBatch(
            arrays=dict(zip(self.arrays, columns, strict=True)),
            labels=torch.tensor(labels),
            clips=tuple(clips),
        )

    def batches(
        self, plan: Iterable[Sequence[int]], *, workers: int = 0, pin: bool = False
    ) -> Generator[ClipBatch]:
        """Read batch after batch ahead of their use.

        Args:
            plan: The clips of each batch.
            workers: Processes that read; 0 for a thread of this one, which may also keep
                what it read in memory.
            pin: Whether the batches go into pinned memory.

        Raises:
            ManifestError: If a shard cannot be read.
        """
        if workers:
            return self._batches_by_processes(plan, workers, pin)
        return self._batches_by_thread(plan, pin)

    def __getitem__(self, clips: Sequence[int]) -> ClipBatch | ManifestError:
        """One batch, for a `DataLoader`'s process, which would add its traceback to an error."""
        try:
            return self.read(clips, keep=False)
        except ManifestError as error:
            return error

    def _batches_by_processes(
        self, plan: Iterable[Sequence[int]], workers: int, pin: bool
    ) -> Generator[ClipBatch]:
        loader: DataLoader[ClipBatch | ManifestError] = DataLoader(
            self,
            batch_size=None,
            sampler=plan,
            num_workers=workers,
            prefetch_factor=READ_AHEAD,
            pin_memory=pin,
            multiprocessing_context="spawn",
            worker_init_fn=_begin_reading,
        )
        with hold_stop_signals():  # a batch is still needed while this process saves and ends
            batches = iter(loader)
        try:
            for batch in batches:
                if isinstance(batch, ManifestError):
                    raise batch
                yield batch
        finally:
            del batches  # ends the processes, also where a traceback keeps this frame

    def _batches_by_thread(self, plan: Iterable[Sequence[int]], pin: bool) -> Generator[ClipBatch]:
        ready: queue.Queue[ClipBatch | BaseException | None] = queue.Queue(READ_AHEAD)
        stopped = threading.Event()

        def offer(item: ClipBatch | BaseException | None) -> bool:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.1)
                except queue.Full:
                    continue
                return True
            return False

        def work() -> None:
            try:
                for clips in plan:
                    batch = self.read(clips)
                    if not offer(batch.pin_memory() if pin else batch):
                        return
                offer(None)
            except BaseException as error:  # handed over to the consumer
                offer(error)

        thread = threading.Thread(target=work, name="clip-reader", daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join()

    def clip_name(self, clip: int) -> str:
        """Name of a clip for messages."""
        video = self.videos[self.video_of_clip[clip]]
        return f"{video.database}/{video.subject}/{video.clip} row {self._place[clip][1]}"

    def _row(self, clip: int, keep: bool) -> tuple[np.ndarray, ...]:
        if clip in self._cache:
            return self._cache[clip]
        path, row, video = self._place[clip]
        self._guard.check_one(path)
        try:
            if path not in self._files:  # opened where it is used: handles do not travel
                self._files[path] = open_shard(path)
            file = self._files[path]
            data = tuple(
                file[name][video if name in KEY_ARRAY_NAMES else row] for name in self.arrays
            )
        except HDF5_DAMAGE as error:
            raise ManifestError(
                f"{path}: row {row} cannot be read ({error}); run 'molprep verify {path.parent}'"
            ) from error
        size = sum(array.nbytes for array in data)
        if keep and size <= self._room:
            self._room -= size
            self._cache[clip] = data
        return data

    def _add(self, directory: Path, video: VideoRecord, sample: Sample, number: int) -> None:
        """Take a video in; it is number `number` of those in its shard."""
        self.samples.append(sample)
        # What has a row a video is seen once, however many phases it was sampled in.
        rows = 1 if KEY_ARRAY_NAMES.issuperset(self.arrays) else video.rows
        for row in range(video.first_row, video.first_row + rows):
            self._place.append((directory / video.shard, row, number))
            self.video_of_clip.append(len(self.videos))
        self.videos.append(video)

    def _clip_length(self) -> int:
        lengths = {manifest.frames_per_clip for manifest in self.manifests}
        if len(lengths) > 1:
            raise ConfigError(
                f"clips of {' and '.join(map(str, sorted(lengths)))} frames cannot be trained "
                "together; build the shards with one sampling.frames"
            )
        return lengths.pop()
