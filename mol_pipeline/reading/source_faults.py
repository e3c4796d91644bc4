"""Reading where disks stumble: a fault of the world is waited for, a fault of the file is not.

A network disk that is away for a moment (ESTALE, EIO, ETIMEDOUT), a file that the index saw and
that is gone, a missing permission, a process out of file descriptors: none says anything about the
video. Only what can be read and is no picture does.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from mol_pipeline.contract.errors import SourceError

Result = TypeVar("Result")
Picture = TypeVar("Picture")

UNREACHABLE = "unreachable"
"""Reason code of a video whose files cannot be reached; the next run tries it again."""

PAUSES_S = (0.2, 1.0, 3.0)
"""Between tries: a disk that stumbles is there again in seconds."""

BLOCK_BYTES = 1 << 20


class SourceFault(OSError):
    """The files of a video are out of reach (a network disk): no fault of the video.

    Args:
        number: Of the operating system (`errno`).
        reason: In its words.
        filename: Relative to the root of the database.
    """

    def __init__(self, number: int, reason: str, filename: str) -> None:
        super().__init__(number, reason, filename)

    def __str__(self) -> str:
        code = errno.errorcode.get(self.errno or 0, str(self.errno))
        return f"{self.filename}: {self.strerror} ({code}): the disk or its permissions"


def read_patiently(
    read: Callable[[], Result], name: str, *, sleep: Callable[[float], None] | None = None
) -> Result:
    """Result of `read`, which is tried again while the operating system refuses.

    Args:
        read: Reads a whole file; what it raises that is no `OSError` goes through at once.
        name: Of the file, relative to the root of the database.
        sleep: Waits for so many seconds.

    Raises:
        SourceFault: If it still refuses after the last pause.
    """
    for pause in PAUSES_S:
        try:
            return read()
        except OSError:
            (sleep or time.sleep)(pause)
    try:
        return read()
    except OSError as error:
        raise _fault(error, name) from error


def decode_patiently(
    decode: Callable[[Sequence[int]], Iterator[tuple[int, Picture]]],
    numbers: Sequence[int],
    path: Path,
    name: str,
    *,
    sleep: Callable[[float], None] | None = None,
) -> Iterator[tuple[int, Picture]]:
    """Frames of a film, which is opened again where it could not be read further.

    A decoder does not tell a disk that fails from a film that is damaged: it says "end of file"
    or "input/output error" of either. So the plain bytes are read to their end, past the decoder.
    Where that works and the decoder fails a second time, the film is at fault.

    Args:
        decode: Opens the film and gives those frames, in order.
        numbers: Of the frames, sorted.
        path: The film.
        name: Relative to the root of the database.
        sleep: Waits for so many seconds.

    Raises:
        SourceFault: If its bytes cannot be read.
        OSError: What the decoder said of a film whose bytes can be read.
        ValueError: Likewise.
    """
    left = list(numbers)
    pauses = iter(PAUSES_S)
    has_failed = False
    while True:
        try:
            for number, picture in decode(tuple(left)):
                left.remove(number)
                yield number, picture
            return
        except (OSError, ValueError) as error:
            try:
                _read_to_end(path)
            except OSError as refused:
                pause = next(pauses, None)
                if pause is None:
                    raise _fault(refused, name) from error
                (sleep or time.sleep)(pause)
                has_failed = False
                continue
            if has_failed:
                raise
            has_failed = True


def read_from_disk(
    read: Callable[[], Result], path: Path, *, sleep: Callable[[float], None] | None = None
) -> Result:
    """Result of `read`; what it raises is the fault of the file, for the disk was asked too.

    Args:
        read: Opens the file or folder.
        path: Of it.
        sleep: Waits for so many seconds.

    Raises:
        SourceError: If the disk does not give the file.
    """
    try:
        return read()
    except (OSError, ValueError) as refused:
        try:
            _ask(path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            raise refused from None  # an answer, and it will stay so
        except OSError:
            try:
                read_patiently(partial(_ask, path), str(path), sleep=sleep)
            except SourceFault as fault:
                raise SourceError(f"{fault}; see to it and run again") from fault
    return read()


def _ask(path: Path) -> None:
    """Read a file or the list of a folder, past whoever decodes it."""
    if stat.S_ISDIR(path.stat().st_mode):
        with os.scandir(path) as entries:
            list(entries)
    elif path.is_file():  # nothing else is opened: a pipe would not end
        _read_to_end(path)


def _read_to_end(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(BLOCK_BYTES):
            pass


def _fault(error: OSError, name: str) -> SourceFault:
    number = error.errno or errno.EIO
    return SourceFault(number, error.strerror or os.strerror(number), name)
