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
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from mol_pipeline.contract.build_state import BuildState
from mol_pipeline.contract.errors import ConfigError, StageError, refusal
from mol_pipeline.contract.files import (
    canonical_json,
    hash_document,
    hash_file,
    write_atomically,
)
from mol_pipeline.contract.holding import Busy, Hold, held
from mol_pipeline.contract.manifest import Record, RejectedVideo, ShardRecord, VideoRecord
from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from mol_pipeline.graph.run_folder import Outcome, RunFolder

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


class Receipt(Record):
    """What became of the videos of one shard."""

    shard: ShardRecord | None
    """None if every video of it was rejected."""
    videos: tuple[VideoRecord, ...]
    rejected: tuple[RejectedVideo, ...]
    numbers: tuple[str, ...] = ()
    """Of the workers that prepared them."""
    flow_backends: tuple[str, ...] = ()
    """What solved the flow there."""


def cannot_write(out: Path, number: int, text: str) -> StageError:
    """What to say when a process cannot write."""
    if number == errno.ENOENT and not out.is_dir():
        return StageError(f"{out}: was removed while the build ran; run again to build it")
    reason, advice = refusal(number, text)
    return StageError(
        f"{out}: cannot be written: {reason}; finished shards are kept: {advice} and run again"
    )


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
