"""Files that a reader finds whole or not at all, and fingerprints of documents and files."""

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from mol_pipeline.contract.errors import ManifestError


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A place to write `path` to: when the block ends it is synced to disk and renamed.

    A reader sees the old or the new file, never a half of one. Two writers of the same file do
    not meet, since each place has a name of its own. If the block fails nothing stays.
    """
    place = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield place
        with place.open("rb+") as written:
            os.fsync(written.fileno())
        place.replace(path)
        _sync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            place.unlink(missing_ok=True)
        raise


def _sync_directory(directory: Path) -> None:
    """Bring a rename to disk, where the system can: else a crash of the machine may undo it."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # some network disks do not
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file, see `atomically`."""
    with atomically(path) as place:
        place.write_bytes(content)


def canonical_json(document: object) -> bytes:
    """Serialise so that equal documents give equal bytes (sorted keys, no spaces)."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Names of files in another encoding hold signs that UTF-8 has not: JSON has an escape for them.
    return text.encode("utf-8", "backslashreplace")


def legible(text: object) -> object:
    """A text with escapes for what no document can hold: NUL, and bytes that are not UTF-8."""
    if not isinstance(text, str):
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


class Drawn(Protocol):
    """A figure of Matplotlib; the contract does not know it."""

    @property
    def savefig(self) -> Callable[..., object]:
        """Writes it to a file."""
        ...


def write_figure(figure: Drawn, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; equal figures give equal bytes."""
    with atomically(path) as place:
        figure.savefig(place, format="png", metadata={"Software": None})


def hash_document(document: object) -> str:
    """SHA-256 of the canonical form of a JSON-able document."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks.

    Raises:
        OSError: If it cannot be read, or is a pipe or a device, which may never end.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no ordinary file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_beside(document: Path, name: str) -> Path:
    """Path of a file or folder that a document names, in the document's own directory.

    A name is one component. Whoever passes on a directory writes its documents: no name in them
    leads to another place, on any system that may read it.

    Raises:
        ManifestError: If the name is no plain one.
    """
    if (
        name in {"", ".", ".."}
        or not name.isprintable()
        or any(character in name for character in '/\\:*?"<>|')
    ):
        raise ManifestError(
            f"{document}: names {name!r}, which lies outside its directory or is no plain file "
            "name; nothing elsewhere is read or written because a document says so"
        )
    return document.parent / name


def is_plain_file(path: Path) -> bool:
    """Whether a path is a file itself: no link, folder, FIFO or device.

    A directory may be reached through links, since its user names it; what lies in it may have
    come with it.
    """
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def private_folder(name: str) -> Path:
    """A temporary folder of this user that nobody else can enter, the same at every call.

    Where somebody else has the name, or other people may enter it, a new one.
    """
    if hasattr(os, "getuid"):
        path = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if _is_private(path):
            return path
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def _is_private(path: Path) -> bool:
    """Whether it is a folder of ours, no link, and closed to others."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
