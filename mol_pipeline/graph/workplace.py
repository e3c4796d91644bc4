"""The output directory of a build while it is being made, and who writes what in it.

    manifest.json                   last, by rename: the build is finished
    shard-00000.h5 ...              each by rename: a shard that has its name is whole
    .build/state.json               what this build is made from and with
    .build/STATE/shard-00000.json   receipt: the shard is finished, and what is in it
    .build/STATE/RUN/               where the tasks of one run write, and nowhere else
        run.json                    by it a worker sees that this is the builder's disk
        000012.json                 what became of a video: rejected, or in
        000012.npz                  which waits for the rest of its shard
        shard-00000-....h5          a shard that the builder has not taken yet
    .molprep.lock, .molprep.holder  held while a build runs, and by whom

`STATE` is the hash of everything that the content depends on, `RUN` is new for each start. Tasks
outlive the builder that asked for them: what such a task still writes lies in a folder of another
run, at which nobody looks. Only the builder, which holds the lock, renames, records and deletes.
Whatever is missing is made again.
"""

import contextlib
import errno
import json
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from mol_pipeline.contract.build_state import BuildState
from mol_pipeline.contract.errors import ConfigError, StageError, refusal
from mol_pipeline.contract.files import (
    atomically,
    canonical_json,
    hash_document,
    hash_file,
    write_atomically,
)
from mol_pipeline.contract.holding import Busy, Hold, held
from mol_pipeline.contract.manifest import (
    MANIFEST_NAME,
    Record,
    RejectedVideo,
    ShardRecord,
    VideoRecord,
)
from mol_pipeline.reading.source_faults import read_patiently
from mol_pipeline.shards.clip_rows import Rows, read_npz, write_npz
from mol_pipeline.shards.files import PreparedVideo

LASTING = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
    }
)
"""Errors of writing that do not pass by waiting."""

HELD_AS = "molprep"
HIDDEN_NAME = ".build"
RUN_NAME = "run.json"


_BESIDE_ARRAYS = [one.name for one in fields(PreparedVideo) if one.name != "arrays"]


class Outcome(Record):
    """What became of one video."""

    state: str
    video: int
    """Its position in the index."""
    key: str
    numbers: str
    """Hash of what the worker computes, see `graph.fitness`."""
    rejected: RejectedVideo | None = None
    bytes: int = 0
    sha256: str = ""
    """Of the file in which the prepared video waits; empty if it is rejected."""


class Receipt(Record):
    """What became of the videos of one shard."""

    shard: ShardRecord | None
    """None if every video of it was rejected."""
    videos: tuple[VideoRecord, ...]
    rejected: tuple[RejectedVideo, ...]
    numbers: tuple[str, ...] = ()
    """Of the workers that prepared them."""


class OutOfSight(Exception):  # it is mapped to the error of the build
    """The folder of a run is not there, or is that of another run."""


class DamagedSpool(Exception):  # the ledger has them made anew
    """Prepared videos that are not what was recorded of them."""

    def __init__(self, videos: dict[int, str]) -> None:
        super().__init__(videos)
        self.videos = videos


def cannot_write(out: Path, number: int, text: str) -> StageError:
    """What to say when a process cannot write."""
    if number == errno.ENOENT and not out.is_dir():
        return StageError(f"{out}: was removed while the build ran; run again to build it")
    reason, advice = refusal(number, text)
    return StageError(
        f"{out}: cannot be written: {reason}; finished shards are kept: {advice} and run again"
    )


@dataclass(frozen=True)
class RunFolder:
    """Where the tasks of one run write; travels to the workers."""

    path: Path
    state: str
    run: str

    def check(self, beside: Path | None = None) -> None:
        """Make sure that this is the folder that the builder made.

        Args:
            beside: Another folder that must be there.

        Raises:
            OutOfSight: If it is not.
        """
        try:
            label = self.path / RUN_NAME
            # That it is not there is an answer; a disk that stumbles is asked again.
            there = read_patiently(
                lambda: label.read_bytes() if label.exists() else b"", str(label)
            )
            seen = json.loads(there)
        except (OSError, ValueError) as error:
            raise OutOfSight(f"does not see {self.path} ({error})") from error
        if seen != self._label():
            raise OutOfSight(f"sees another build in {self.path}")
        if beside is not None and not beside.is_dir():
            raise OutOfSight(f"does not see {beside}")

    def create(self) -> None:
        """Make the folder, once."""
        self.path.mkdir(parents=True)
        write_atomically(self.path / RUN_NAME, canonical_json(self._label()))

    def _label(self) -> dict[str, str]:
        return {"run": self.run, "state": self.state}

    def new_shard_file(self, shard: int) -> Path:
        """A name that no other task uses."""
        return self.path / f"shard-{shard:05d}-{uuid.uuid4().hex}.h5"

    def keep(
        self, video: int, key: str, numbers: str, what: PreparedVideo | RejectedVideo
    ) -> Outcome:
        """Keep what became of a video until its shard is written.

        Its file comes first, then the record that names it: a record without a whole file
        is found out by size and hash.
        """
        outcome = Outcome(state=self.state, video=video, key=key, numbers=numbers)
        if isinstance(what, RejectedVideo):
            outcome = outcome.model_copy(update={"rejected": what})
        else:
            path = self._file(video)
            rest = {name: getattr(what, name) for name in _BESIDE_ARRAYS}
            parts: dict[str, Rows] = {**what.arrays, "_rest": np.array(json.dumps(rest))}
            with atomically(path) as place:
                with place.open("wb") as file:
                    write_npz(file, parts)
                proof = {"bytes": place.stat().st_size, "sha256": hash_file(place)}
            outcome = outcome.model_copy(update=proof)
        write_atomically(self._record(video), canonical_json(outcome.model_dump(mode="json")))
        return outcome

    def outcome(self, video: int) -> Outcome | None:
        """What is recorded of a video, None if there is nothing, or nothing whole.

        The file is looked at by its size; its content is proved when it is read.
        """
        try:
            found = Outcome.model_validate_json(self._record(video).read_bytes())
        except (OSError, ValidationError):
            return None
        if (found.state, found.video) != (self.state, video):
            return None
        if found.rejected is None:
            try:
                size = self._file(video).stat().st_size
            except OSError:
                return None
            if size != found.bytes:
                return None
        return found

    def prepared(self, outcome: Outcome) -> PreparedVideo:
        """The prepared video that an outcome names.

        Raises:
            ValueError: If it is not what was recorded.
        """
        path = self._file(outcome.video)
        try:
            if hash_file(path) != outcome.sha256:
                raise ValueError("its file changed after it was written")
            arrays = read_npz(path)
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"its file cannot be read ({error})") from error
        rest: dict[str, Any] = json.loads(str(arrays.pop("_rest")))
        lists = {name: tuple(value) for name, value in rest.items() if isinstance(value, list)}
        return PreparedVideo(arrays=arrays, **{**rest, **lists})

    def adopt(self, other: "RunFolder") -> dict[int, Outcome]:
        """Take over what an earlier run prepared, then remove its folder."""
        found: dict[int, Outcome] = {}
        for path in sorted(other.path.glob("[0-9]*.json")):
            outcome = other.outcome(int(path.stem)) if path.stem.isdigit() else None
            if outcome is None:
                continue
            with contextlib.suppress(FileNotFoundError):  # a task of that run still works there
                if outcome.rejected is None:
                    other._file(outcome.video).replace(self._file(outcome.video))
                path.replace(self._record(outcome.video))
                found[outcome.video] = outcome
        shutil.rmtree(other.path, ignore_errors=True)
        return found

    def forget(self, video: int) -> None:
        """Drop what was kept of a video."""
        for path in (self._record(video), self._file(video)):
            path.unlink(missing_ok=True)

    def _record(self, video: int) -> Path:
        return self.path / f"{video:06d}.json"

    def _file(self, video: int) -> Path:
        return self.path / f"{video:06d}.npz"


@dataclass(frozen=True)
class Workplace:
    """One output directory, as the builder keeps it."""

    out: Path

    @property
    def hidden(self) -> Path:
        """Folder of unfinished business."""
        return self.out / HIDDEN_NAME

    @contextlib.contextmanager
    def locked(self) -> Iterator[Hold]:
        """Hold the directory against a second build.

        Raises:
            ConfigError: If another build holds it, or it holds something else.
        """
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"{self.out}: is a file; --out must name a directory")
        if self.out.is_dir():
            ours = {MANIFEST_NAME, f".{HELD_AS}.lock", HIDDEN_NAME}
            if not any((self.out / name).exists() for name in ours) and any(self.out.iterdir()):
                raise ConfigError(
                    f"{self.out}: is in use by something else (it is not empty and holds no "
                    "build); choose a new directory for --out"
                )
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            with held(self.out, HELD_AS) as hold:
                yield hold
        except Busy as busy:
            raise ConfigError(
                f"{self.out}: another build is running there ({busy}); wait for it or choose "
                "another --out"
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
        self._of_state(state).mkdir(parents=True, exist_ok=True)
        write_atomically(path, canonical_json(state.model_dump(mode="json")))

    def begin_run(self, state: BuildState) -> tuple[RunFolder, dict[int, Outcome]]:
        """A folder for the tasks of a new run, with what earlier runs of this state left."""
        home = self._of_state(state)
        name = uuid.uuid4().hex[:12]
        folder = RunFolder(home / name, home.name, name)
        earlier = sorted(path for path in home.iterdir() if path.is_dir())
        folder.create()
        found: dict[int, Outcome] = {}
        for path in earlier:
            found |= folder.adopt(RunFolder(path, home.name, path.name))
        return folder, found

    def _of_state(self, state: BuildState) -> Path:
        return self.hidden / hash_document(state.model_dump(mode="json"))[:16]

    def clear(self) -> None:
        """Remove what an earlier build left, and nothing else."""
        (self.out / MANIFEST_NAME).unlink(missing_ok=True)
        for path in [*self.out.glob("shard-*.h5"), *self.out.glob(".shard-*.part")]:
            path.unlink()
        shutil.rmtree(self.hidden, ignore_errors=True)

    def close(self) -> None:
        """Drop the unfinished business after the manifest is written."""
        shutil.rmtree(self.hidden, ignore_errors=True)
        for path in self.out.glob(".*.part"):  # of a builder that was killed while writing
            path.unlink(missing_ok=True)

    def shard_path(self, shard: int) -> Path:
        """Final path of a shard."""
        return self.out / f"shard-{shard:05d}.h5"

    def receipt(self, state: BuildState, shard: int) -> Receipt | None:
        """Receipt of a finished shard whose file still matches it, else None."""
        try:
            receipt = Receipt.model_validate_json(self._receipt_path(state, shard).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        if receipt.shard is not None:
            path = self.shard_path(shard)
            if not path.is_file() or hash_file(path) != receipt.shard.sha256:
                return None
        return receipt

    def take_shard(
        self, state: BuildState, shard: int, file: Path | None, receipt: Receipt
    ) -> None:
        """Record that a shard is finished and give it its final name.

        The record comes first: without its file it counts for nothing, and a file that has its
        name is always recorded.
        """
        if file is None:
            self.shard_path(shard).unlink(missing_ok=True)  # every video of it was rejected
        self.write_receipt(state, shard, receipt)
        if file is not None:
            file.replace(self.shard_path(shard))

    def write_receipt(self, state: BuildState, shard: int, receipt: Receipt) -> None:
        """Record that a shard is finished."""
        content = canonical_json(receipt.model_dump(mode="json"))
        write_atomically(self._receipt_path(state, shard), content)

    def _receipt_path(self, state: BuildState, shard: int) -> Path:
        return self._of_state(state) / f"shard-{shard:05d}.json"
