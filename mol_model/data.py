"""Clips from shards: which there are, and how they reach the training loop."""

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters that shards are written with
import numpy as np
import torch
from torch import Tensor

from mol_model.protocols import Sample, common_mapping, sample_of
from mol_pipeline.contract.manifest import Manifest, VideoRecord, hash_document, read_manifest
from mol_pipeline.contract.shard_layout import (
    CLIP_ARRAYS_BY_NAME,
    HDF5_DAMAGE,
    SCHEMA_VERSION,
)
from mol_pipeline.errors import ConfigError, ManifestError

READ_ARRAYS = ("frames", "flow", "landmarks")
"""What training reads of a shard."""

READ_AHEAD = 2
"""Batches that a background thread prepares while one is in use."""


@dataclass(frozen=True)
class ClipBatch:
    """Clips as they are stored, one row each."""

    frames: Tensor
    """uint8 `[B, t, 144, 144]`."""
    flow: Tensor
    """float16 `[B, t-1, 2, 144, 144]`."""
    landmarks: Tensor
    """float32 `[B, t, 68, 2]`."""
    labels: Tensor
    """int64 `[B]`."""
    clips: tuple[int, ...]
    """Numbers of the clips in their `ShardSet`."""

    def to(self, device: torch.device) -> "ClipBatch":
        """The same clips on a device."""
        return ClipBatch(
            frames=self.frames.to(device, non_blocking=True),
            flow=self.flow.to(device, non_blocking=True),
            landmarks=self.landmarks.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            clips=self.clips,
        )


class ShardSet:
    """The videos of some shard directories that take part under one label mapping.

    Args:
        directories: Each with a manifest.
        mapping: Name of the label mapping; None for the first that the databases share.
        protocol: Name of the protocol; see `common_mapping`.
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
        cache_mb: int = 4096,
    ) -> None:
        self.directories = tuple(directories)
        self.manifests = tuple(read_manifest(directory) for directory in directories)
        self.mapping, self.classes = common_mapping(self.manifests, mapping, protocol)
        self.frames = self._clip_length()
        self.videos: list[VideoRecord] = []
        self.samples: list[Sample] = []
        self._place: list[tuple[Path, int]] = []
        self.video_of_clip: list[int] = []
        for directory, manifest in zip(self.directories, self.manifests, strict=True):
            self._check_shards(directory, manifest)
            for video in manifest.videos:
                sample = sample_of(video, self.mapping, self.classes)
                if sample is not None:
                    self._add(directory, video, sample)
        if not self.videos:
            raise ConfigError(
                f"no video has a label under mapping {self.mapping!r} in "
                f"{', '.join(map(str, directories))}"
            )
        self._files: dict[Path, h5py.File] = {}
        self._cache: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._room = cache_mb * 2**20

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

    def clips_of(self, videos: Iterable[int]) -> list[int]:
        """Numbers of the clips of some videos."""
        wanted = set(videos)
        return [clip for clip, video in enumerate(self.video_of_clip) if video in wanted]

    def read(self, clips: Sequence[int]) -> ClipBatch:
        """Read clips, one chunk each, from memory where they are kept.

        Raises:
            ManifestError: If a shard cannot be read.
        """
        rows = [self._row(clip) for clip in clips]
        frames, flow, landmarks = (np.stack(column) for column in zip(*rows, strict=True))
        labels = [self.samples[self.video_of_clip[clip]].label for clip in clips]
        return ClipBatch(
            frames=torch.from_numpy(frames),
            flow=torch.from_numpy(flow),
            landmarks=torch.from_numpy(landmarks),
            labels=torch.tensor(labels),
            clips=tuple(clips),
        )

    def batches(self, plan: Iterable[Sequence[int]]) -> Iterator[ClipBatch]:
        """Read batch after batch in a background thread, ahead of their use."""
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
                    if not offer(self.read(clips)):
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

    def _row(self, clip: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if clip in self._cache:
            return self._cache[clip]
        path, row = self._place[clip]
        try:
            if path not in self._files:  # opened where it is used: handles do not travel
                self._files[path] = h5py.File(path, "r", locking=False)
            file = self._files[path]
            frames, flow, landmarks = (file[name][row] for name in READ_ARRAYS)
            data = (frames, flow, landmarks)
        except HDF5_DAMAGE as error:
            raise ManifestError(
                f"{path}: row {row} cannot be read ({error}); run 'molprep verify {path.parent}'"
            ) from error
        size = sum(array.nbytes for array in data)
        if size <= self._room:
            self._room -= size
            self._cache[clip] = data
        return data

    def _add(self, directory: Path, video: VideoRecord, sample: Sample) -> None:
        self.samples.append(sample)
        for row in range(video.first_row, video.first_row + video.rows):
            self._place.append((directory / video.shard, row))
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

    def _check_shards(self, directory: Path, manifest: Manifest) -> None:
        for shard in manifest.shards:
            path = directory / shard.file
            if not path.is_file():
                raise ManifestError(f"{path}: is in the manifest but not on disk; rebuild it")
            if path.stat().st_size != shard.bytes:
                raise ManifestError(
                    f"{path}: has {path.stat().st_size} bytes, the manifest says {shard.bytes}; "
                    f"run 'molprep verify {directory}'"
                )
            try:
                with h5py.File(path, "r", locking=False) as file:
                    version = file.attrs.get("schema_version")
                    rows = len(file["frames"])
                    fits = rows == shard.clips and all(
                        file[name].dtype == CLIP_ARRAYS_BY_NAME[name].dtype
                        and file[name].shape
                        == (rows, *CLIP_ARRAYS_BY_NAME[name].row_shape(manifest.frames_per_clip))
                        for name in READ_ARRAYS
                    )
            except HDF5_DAMAGE as error:
                raise ManifestError(
                    f"{path}: cannot be read as a shard ({error}); run 'molprep verify {directory}'"
                ) from error
            if version != SCHEMA_VERSION or not fits:
                raise ManifestError(
                    f"{path}: does not fit its manifest (schema {version}, {rows} clips; the "
                    f"manifest says schema {SCHEMA_VERSION}, {shard.clips} clips); rebuild it"
                )
