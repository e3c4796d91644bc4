"""The output directory of a build while it is being made.

    manifest.json            last, by rename: the build is finished
    shard-00000.h5 ...       each by rename: a shard that has its name is whole
    .build/state.json        what this build is made from and with
    .build/shard-00000.json  receipt: the shard is finished, and what is in it
    .build/000012.npz        a prepared video that waits for the rest of its shard
    .build/000013.json       a rejected video, likewise
    .molprep.lock            held while a build runs

Whatever is missing here is made again; whatever is here is whole.
"""

import contextlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from pydantic import ValidationError

from mol_pipeline.contract.build_state import BuildState
from mol_pipeline.contract.files import atomically, canonical_json, hash_file, write_atomically
from mol_pipeline.contract.manifest import (
    MANIFEST_NAME,
    Record,
    RejectedVideo,
    ShardRecord,
    VideoRecord,
)
from mol_pipeline.errors import ConfigError
from mol_pipeline.shards import PreparedVideo

LOCK_NAME = ".molprep.lock"


class Receipt(Record):
    """What became of the videos of one shard."""

    shard: ShardRecord | None
    """None if every video of it was rejected."""
    videos: tuple[VideoRecord, ...]
    rejected: tuple[RejectedVideo, ...]


@dataclass(frozen=True)
class Workplace:
    """Paths and bookkeeping of one output directory."""

    out: Path

    @property
    def hidden(self) -> Path:
        """Folder of unfinished business."""
        return self.out / ".build"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second build.

        Raises:
            ConfigError: If another build holds it, or it holds something else.
        """
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"{self.out}: is a file; --out must name a directory")
        if self.out.is_dir():
            ours = {MANIFEST_NAME, LOCK_NAME, self.hidden.name}
            if not any((self.out / name).exists() for name in ours) and any(self.out.iterdir()):
                raise ConfigError(
                    f"{self.out}: is in use by something else (it is not empty and holds no "
                    "build); choose a new directory for --out"
                )
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.out / LOCK_NAME, timeout=0)
            with lock:
                yield
        except Timeout:
            raise ConfigError(
                f"{self.out}: another build is running there; wait for it or choose another --out"
            ) from None
        except PermissionError as error:
            raise ConfigError(f"{error.filename}: no permission to write there") from error

    def open_state(self, state: BuildState, *, overwrite: bool) -> None:
        """Start or continue a build.

        Raises:
            ConfigError: If the directory holds a build from something else.
        """
        path = self.hidden / "state.json"
        if overwrite:
            self.clear()
        if path.is_file():
            try:
                before = BuildState.model_validate_json(path.read_bytes())
            except ValidationError as error:
                raise ConfigError(
                    f"{path}: is damaged ({error.error_count()} problem(s)); run with --overwrite"
                ) from error
            changed = before.differences(state)
            if changed:
                raise ConfigError(
                    f"{self.out}: holds a build in which {' and '.join(changed)} differ(s); "
                    "nothing is mixed: choose another --out, or --overwrite to start anew"
                )
        self.hidden.mkdir(exist_ok=True)
        write_atomically(path, canonical_json(state.model_dump(mode="json")))

    def clear(self) -> None:
        """Remove what an earlier build left, and nothing else."""
        (self.out / MANIFEST_NAME).unlink(missing_ok=True)
        for path in [*self.out.glob("shard-*.h5"), *self.out.glob(".shard-*.part")]:
            path.unlink()
        shutil.rmtree(self.hidden, ignore_errors=True)

    def close(self) -> None:
        """Drop the unfinished business after the manifest is written."""
        shutil.rmtree(self.hidden, ignore_errors=True)
        for path in self.out.glob(".*.part"):  # of tasks that were killed while writing
            path.unlink(missing_ok=True)

    def shard_path(self, shard: int) -> Path:
        """Final path of a shard."""
        return self.out / f"shard-{shard:05d}.h5"

    def receipt(self, shard: int) -> Receipt | None:
        """Receipt of a finished shard whose file still matches it, else None."""
        try:
            receipt = Receipt.model_validate_json(self._receipt_path(shard).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        if receipt.shard is not None:
            path = self.shard_path(shard)
            if not path.is_file() or hash_file(path) != receipt.shard.sha256:
                return None
        return receipt

    def write_receipt(self, shard: int, receipt: Receipt) -> None:
        """Record that a shard is finished."""
        content = canonical_json(receipt.model_dump(mode="json"))
        write_atomically(self._receipt_path(shard), content)

    def _receipt_path(self, shard: int) -> Path:
        return self.hidden / f"shard-{shard:05d}.json"

    def _video_path(self, video: int, suffix: str) -> Path:
        return self.hidden / f"{video:06d}{suffix}"

    def spool(self, video: int, outcome: PreparedVideo | RejectedVideo) -> None:
        """Keep the outcome of a video until its shard is written."""
        if isinstance(outcome, RejectedVideo):
            content = canonical_json(outcome.model_dump(mode="json"))
            write_atomically(self._video_path(video, ".json"), content)
            return
        path = self._video_path(video, ".npz")
        meta = json.dumps(
            [
                dict(outcome.identity),
                dict(outcome.key_frames),
                outcome.several_faces,
                outcome.frame_times,
                outcome.remarks,
            ]
        )
        parts: dict[str, Any] = {**outcome.arrays, "_meta": np.array(meta)}
        with atomically(path) as place, place.open("wb") as file:
            np.savez(file, **parts)

    def spooled(self, video: int) -> PreparedVideo | RejectedVideo | None:
        """Outcome of a video kept by `spool`, or None if there is none that is whole."""
        rejected = self._video_path(video, ".json")
        if rejected.is_file():
            with contextlib.suppress(ValidationError):
                return RejectedVideo.model_validate_json(rejected.read_bytes())
        try:
            with np.load(self._video_path(video, ".npz"), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}  # reading checks the CRC
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError):
            return None
        identity, key_frames, several, times, remarks = json.loads(str(arrays.pop("_meta")))
        return PreparedVideo(
            arrays=arrays,
            identity=identity,
            key_frames=key_frames,
            several_faces=several,
            frame_times=tuple(times),
            remarks=tuple(remarks),
        )

    def is_spooled(self, video: int) -> bool:
        """Whether an outcome is kept; cheap, reads nothing."""
        return any(self._video_path(video, suffix).is_file() for suffix in (".npz", ".json"))

    def unspool(self, video: int) -> None:
        """Forget the outcome of a video."""
        for suffix in (".npz", ".json"):
            self._video_path(video, suffix).unlink(missing_ok=True)
