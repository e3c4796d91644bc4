"""One process at a time in a directory, also where the file system has no locks.

Two safeguards, since each fails somewhere. A lock of the operating system ends with its holder,
but some network disks have none, and on others it is not seen from another machine. So there is
also a note that says who holds the directory, in which a counter runs while the holder lives. A
note whose holder the lock cannot vouch for is watched for a while: if its counter stands still,
its holder is gone.

    with held(directory, "molprep") as hold:
        ...
        hold.check()    # before something that only one may do
"""

import contextlib
import errno
import json
import logging
import os
import platform
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

BEAT_S = 5.0
"""Seconds between two steps of a holder's counter."""

MISSED_BEATS = 4
"""So many must be missing before a holder is taken for dead."""

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
"""What a file system without locks answers."""

NOTE_BYTES = 512


class Busy(Exception):
    """Another process holds the directory; the text says which."""


class Hold:
    """A directory that is held; see `held`."""

    def __init__(self, note: Path, descriptor: int, beat_s: float) -> None:
        self._note = note
        self._descriptor = descriptor
        self._beat_s = beat_s
        self._label = _label()
        self._ended = threading.Event()
        self._count = 0
        self._write()
        self._thread = threading.Thread(target=self._beat, name=f"holds {note.parent}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that nobody took the directory over.

        Raises:
            Busy: If another process did (this one stood still for too long).
        """
        try:
            taken = self._note.stat().st_ino != os.fstat(self._descriptor).st_ino
        except OSError:
            return  # the directory went away, or its disk stumbles: that shows where it matters
        if taken:
            raise Busy(_describe(_read(self._note)))

    def _write(self) -> None:
        text = json.dumps({**self._label, "beat": self._count})
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, text.ljust(NOTE_BYTES).encode()[:NOTE_BYTES])

    def _beat(self) -> None:
        while not self._ended.wait(self._beat_s):
            self._count += 1
            with contextlib.suppress(OSError):
                self._write()

    def end(self) -> None:
        """Stop the counter and remove the note, if it is still ours."""
        self._ended.set()
        self._thread.join()
        try:
            self.check()
        except Busy:
            os.close(self._descriptor)
            return
        os.close(self._descriptor)  # first: some systems keep what is open
        with contextlib.suppress(OSError):
            self._note.unlink()


@contextlib.contextmanager
def held(directory: Path, name: str, *, beat_s: float = BEAT_S) -> Iterator[Hold]:
    """Hold a directory against every other process that asks for it under the same name.

    Leaves `.NAME.lock` behind: removing a lock file would let two in.

    Args:
        directory: Exists and can be written to.
        name: Of the program.
        beat_s: Seconds between two steps of the counter; the same for all who ask.

    Raises:
        Busy: If another process holds it.
        OSError: If nothing can be written there.
    """
    note = directory / f".{name}.holder"
    lock = os.open(directory / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        locked = _lock(lock)
        if locked is False:
            raise Busy(_describe(_read(note)))
        if locked is None:
            logger.warning(
                "%s: its file system has no locks; others are kept out by the note %s alone",
                directory,
                note.name,
            )
        _clear_away(note, vouched_for=locked is True, beat_s=beat_s)
        try:
            descriptor = os.open(note, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:  # another was quicker
            raise Busy(_describe(_read(note))) from None
        hold = Hold(note, descriptor, beat_s)
        try:
            yield hold
        finally:
            hold.end()
    finally:
        os.close(lock)  # which unlocks it


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was free; None where there are no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        if error.errno in {errno.EAGAIN, errno.EACCES, errno.EDEADLK}:
            return False
        raise
    return True


def _clear_away(note: Path, *, vouched_for: bool, beat_s: float) -> None:
    """Remove the note of a holder that is gone.

    Args:
        note: Perhaps there.
        vouched_for: The lock is ours, and holders on this machine would have had it.
        beat_s: Of its counter.

    Raises:
        Busy: If its holder lives.
    """
    before = _read(note)
    if before is None:
        return
    if not (vouched_for and before.get("machine") == _machine()):
        logger.warning(
            "%s: %s; looking whether it still lives (%.0f s)",
            note.parent,
            _describe(before),
            MISSED_BEATS * beat_s,
        )
        deadline = time.monotonic() + MISSED_BEATS * beat_s
        while time.monotonic() < deadline:
            time.sleep(min(beat_s / 4, 1.0))
            if _read(note) != before:
                raise Busy(_describe(before))
    # Several may have watched: who renames it first has it, and looks at what was renamed.
    aside = note.with_name(f"{note.name}.{uuid.uuid4().hex}")
    try:
        note.rename(aside)
    except FileNotFoundError:
        raise Busy(_describe(before)) from None
    if _read(aside) != before:  # the note of one who was quicker
        with contextlib.suppress(OSError):
            os.link(aside, note)
        aside.unlink()
        raise Busy(_describe(_read(note)))
    aside.unlink()


def _read(note: Path) -> dict[str, object] | None:
    """What a note says; empty if it says nothing that can be read, None if there is none."""
    try:
        content = json.loads(note.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _describe(note: dict[str, object] | None) -> str:
    if not note:
        return "held by another process"
    command = f": {note['command']}" if note.get("command") else ""
    where = f"process {note.get('pid')} on {note.get('host')}"
    return f"held by {where} since {note.get('since')}{command}"


def _label() -> dict[str, object]:
    return {
        "host": platform.node()[:100],
        "machine": _machine(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "token": uuid.uuid4().hex,
        "command": _command(),
    }


def _command() -> str:
    """What this process was started as, short and plain; options may hold names of people."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]] if sys.argv else []
    return " ".join(words).encode("ascii", "replace").decode()[:60]


def _machine() -> str:
    """Names a machine that runs: another after each start of the system, where it says so."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{platform.node()[:100]}-{uuid.getnode():x}"
