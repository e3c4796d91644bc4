"""Shards that must stay as they are while a run reads them.

At the start of a run every byte is hashed once. From then on a look at size, time and number of a
file tells whether it was touched; one that was is hashed again. Damage without a trace (a disk
that errs) is found by the checksums inside the shard.
"""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import hash_file, is_plain_file
from mol_pipeline.contract.manifest import ShardRecord

MOST_THREADS = 8
"""That hash at once: a core does 0.5 to 2 GB/s, disks give little more."""


@dataclass(frozen=True)
class Stamp:
    """What a file system says of a file."""

    size: int
    modified_ns: int
    number: int
    """Inode: another one if the file was replaced."""


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file now.

    Raises:
        ManifestError: If it is gone.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise _changed(path, f"is gone ({error.strerror})") from error
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


class ShardGuard:
    """Watches the shards of a run; travels to the processes that read them.

    Args:
        shards: Path -> the record that proves it.

    Raises:
        ManifestError: If a shard is not there or has another size.
    """

    def __init__(self, shards: Mapping[Path, ShardRecord]) -> None:
        self._shards = dict(shards)
        self._stamps: dict[Path, Stamp] = {}
        self._unproven = set(self._shards)
        for path, shard in self._shards.items():
            if not path.exists():
                raise ManifestError(f"{path}: is in the manifest but not on disk; rebuild it")
            if not is_plain_file(path):
                raise ManifestError(
                    f"{path}: is a link, folder or device, and is not followed; link the whole "
                    "directory instead"
                )
            stamp = self._stamps[path] = stamp_of(path)
            if stamp.size != shard.bytes:
                raise ManifestError(
                    f"{path}: has {stamp.size} bytes, the manifest says {shard.bytes}; "
                    f"run 'molprep verify {path.parent}'"
                )

    def check_bytes(self) -> str | None:
        """Hash every shard that was not hashed yet; returns what it cost, None if it was nothing.

        Raises:
            ManifestError: If a shard is not what its record says, or changes meanwhile.
        """
        todo = sorted(self._unproven)
        if not todo:
            return None
        started = time.perf_counter()
        threads = min(MOST_THREADS, os.cpu_count() or 1, len(todo))
        with ThreadPoolExecutor(threads, thread_name_prefix="hash") as pool:
            # hashlib lets go of the interpreter: the threads hash at once.
            for _ in pool.map(self._prove, todo):
                pass
        seconds = time.perf_counter() - started
        total = sum(self._shards[path].bytes for path in todo)
        return (
            f"checked {_size(total)} in {seconds:.1f} s: {len(todo)} shards have the SHA-256 of "
            "their manifest"
        )

    def checked_by_another(self) -> None:
        """Take it that a process beside this one has hashed the shards."""
        self._unproven.clear()

    def check_unchanged(self) -> None:
        """Prove that no shard has changed.

        Raises:
            ManifestError: If one has.
        """
        for path in self._shards:
            self.check_one(path)

    def check_one(self, path: Path) -> None:
        """Prove that a shard is what it was: by its stamp, and by its bytes if that is another.

        A copy of the same bytes is no change, nor is a new number on a network disk.

        Raises:
            ManifestError: If it changed.
        """
        if path in self._unproven or stamp_of(path) != self._stamps[path]:
            self._prove(path)

    def _prove(self, path: Path) -> None:
        before = stamp_of(path)
        try:
            same = hash_file(path) == self._shards[path].sha256
        except OSError as error:
            raise _changed(path, f"cannot be read ({error})") from error
        if not same:
            raise _changed(path, "does not have the SHA-256 of its manifest")
        if stamp_of(path) != before:
            raise _changed(path, "is being written to by another program")
        self._stamps[path] = before
        self._unproven.discard(path)


def _changed(path: Path, what: str) -> ManifestError:
    return ManifestError(
        f"{path}: {what}: it is damaged or has changed since the manifest was written; nothing is "
        f"trained or scored on it: run 'molprep verify {path.parent}'"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
