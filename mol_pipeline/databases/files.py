"""Finding frames, folders and annotation files in a release, junk and all."""

import fnmatch
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.manifest import RejectedVideo
from mol_pipeline.databases.frame_names import FrameSeries, number_frames

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm"}
)
"""In lower case; a folder may mix them."""

NUMBER = re.compile("[0-9]")

ARCHIVES = frozenset({".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz"})

MAX_DEPTH = 10
"""How deep a release may nest; a guard against a root such as `/`."""


def require_root(root: Path, title: str) -> Path:
    """Check the folder that a user named as the root of a release.

    Raises:
        SourceError: If it does not exist, is a file, or is empty.
    """
    if not root.exists():
        raise SourceError(f"{root}: does not exist; --root must name the folder of {title}")
    if not root.is_dir():
        hint = "; unpack it first" if is_archive(root.name) else ""
        raise SourceError(f"{root}: is a file, --root must name the folder of {title}{hint}")
    if not any(root.iterdir()):
        raise SourceError(f"{root}: is empty; unpack the release of {title} there")
    return root


def on_disk(path: Path) -> Path | None:
    """A path as it is on disk, its letters composed or not; None if it is not there.

    A Mac writes a letter and its accent as two signs, a table as one.
    """
    if path.exists():
        return path
    if path.name in {"", "..", "."} or path == path.parent:
        return None
    parent = on_disk(path.parent)
    if parent is None or not parent.is_dir():
        return None
    wanted = composed(path.name)
    found = [entry.name for entry in parent.iterdir() if composed(entry.name) == wanted]
    return parent / min(found) if found else None


def folder_inside(root: Path, name: str, option: str) -> Path:
    """A folder under the root that a user named.

    Raises:
        SourceError: If it lies outside the root or does not exist.
    """
    path = root / name
    if not _is_inside(path, root):
        raise SourceError(f"{option} {name}: lies outside the root {root}; name a folder below it")
    path = on_disk(path) or path
    if not path.is_dir():
        raise SourceError(f"{option} {name}: no such folder below {root}")
    return path


def _is_inside(path: Path, root: Path) -> bool:
    """Whether a path, as written, stays below a root (links may lead elsewhere)."""
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root))


def path_inside(root: Path, name: str) -> Path | None:
    """A path written in a table, or None if it leaves the root."""
    path = root / name.replace("\\", "/")
    return Path(os.path.normpath(path)) if _is_inside(path, root) else None


def walk(
    root: Path, closed: list[Path] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders under a root with their subfolders and files, sorted, junk left out.

    Links are followed, each folder once: many keep a release on another disk.

    Args:
        root: Where to begin.
        closed: Takes the folders that this user may not look into.

    Raises:
        SourceError: If the disk does not show a folder: what is in it would be missing in silence.
    """

    def refused(error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            return  # it went away meanwhile
        if isinstance(error, PermissionError):
            if closed is not None:
                closed.append(Path(error.filename))
            return
        raise SourceError(
            f"{error.filename}: the disk does not show this folder ({error.strerror}); see to the "
            "disk and run again"
        ) from error

    seen: set[str] = set()
    base = len(root.parts)
    for folder, subfolders, files in os.walk(root, onerror=refused, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        path = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if len(path.parts) - base >= MAX_DEPTH:
            subfolders.clear()
        yield path, subfolders, sorted(name for name in files if not is_junk(name))


def composed(name: str) -> str:
    """A name with each letter and its accent as one sign (Unicode NFC).

    A Mac unpacks them as two, tables write them as one.
    """
    return unicodedata.normalize("NFC", name)


def plain_text(name: str) -> str:
    """A name to be compared whatever its case and Unicode form."""
    return composed(name).casefold()


def is_archive(name: str) -> bool:
    """Whether a file is an archive by its name."""
    return Path(name).suffix.lower() in ARCHIVES


def is_junk(name: str) -> bool:
    """Whether a file is the litter of an operating system or an office program."""
    lower = name.lower()
    return lower.startswith((".", "~$")) or lower.endswith(".lnk") or lower == "thumbs.db"


def is_image(name: str) -> bool:
    """Whether a file is an image by its name, and no junk."""
    stem, _, suffix = name.rpartition(".")  # asked for millions of names: Path takes too long
    return bool(stem) and f".{suffix.lower()}" in IMAGE_SUFFIXES and not is_junk(name)


def is_frame(name: str) -> bool:
    """Whether a file is an image with a number in its name."""
    return is_image(name) and NUMBER.search(name.rpartition(".")[0]) is not None


def list_series(folder: Path, pattern: str = "*") -> FrameSeries:
    """Frames of a folder, numbered by their names.

    Args:
        folder: That holds them.
        pattern: Only files whose name fits it, case and Unicode form aside.
    """
    wanted = plain_text(pattern)
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_image(entry.name) and entry.is_file()]
    return number_frames([one for one in names if fnmatch.fnmatchcase(plain_text(one), wanted)])


def list_frames(folder: Path) -> tuple[tuple[int, str], ...]:
    """Frames of a folder as (number, name), sorted by number; see `list_series`."""
    return list_series(folder).frames


@dataclass(frozen=True)
class FrameFolder:
    """A folder that holds frames."""

    path: Path
    parts: tuple[str, ...]
    """Below the root, as they are on disk."""
    rank: int
    """Of the set of frames that it belongs to; the adapter prefers the lower."""

    @property
    def leaf(self) -> str:
        """Its own name, letters composed as those of tables are."""
        return composed(self.parts[-1]) if self.parts else ""

    @property
    def parent(self) -> str:
        """Name of the folder above, likewise."""
        return composed(self.parts[-2]) if len(self.parts) > 1 else ""

    @property
    def relative(self) -> str:
        """Below the root, with forward slashes."""
        return "/".join(self.parts) or "."


class FrameFolders:
    """Every folder with frames below a root, found by name whatever the case.

    Args:
        root: Of the release.
        start: Folder to look in.
        rank: Of two sets of frames (raw, cropped) the lower rank is taken; None leaves out.
    """

    def __init__(
        self, root: Path, start: Path, rank: Callable[[tuple[str, ...]], int | None]
    ) -> None:
        self.doubled: set[str] = set()
        self.archives: list[Path] = []
        self.closed: list[Path] = []
        self._by_leaf: dict[str, list[FrameFolder]] = {}
        base = len(root.parts)
        for path, _, files in walk(start, self.closed):
            self.archives += [path / name for name in files if is_archive(name)]
            if not any(map(is_frame, files)):
                continue
            parts = path.parts[base:]
            folder_rank = rank(tuple(part.lower() for part in parts))
            if folder_rank is None:
                continue
            folder = FrameFolder(path, parts, folder_rank)
            self._note_doubled(parts)
            self._by_leaf.setdefault(folder.leaf.lower(), []).append(folder)

    def _note_doubled(self, parts: Sequence[str]) -> None:
        for upper, lower in itertools.pairwise(parts):
            if upper.lower() == lower.lower():
                self.doubled.add(f"{upper}/{lower}")

    def __iter__(self) -> Iterator[FrameFolder]:
        """All folders, in the order of their paths."""
        folders = itertools.chain.from_iterable(self._by_leaf.values())
        return iter(sorted(folders, key=lambda folder: folder.parts))

    def named(
        self, leaf: str, accept: Callable[[FrameFolder], bool] = lambda folder: True
    ) -> list[FrameFolder]:
        """Folders of this name that are accepted; best first."""
        found = self._by_leaf.get(composed(leaf).strip().lower(), [])
        return best_first(filter(accept, found))


def raw_before_cropped(parts: tuple[str, ...]) -> int | None:
    """Rank of a folder: the owners' cropped copies come second."""
    return 1 if any("crop" in part for part in parts) else 0


def best_first(folders: Iterable[FrameFolder]) -> list[FrameFolder]:
    """Folders in the order in which they are taken: by rank, then the least nested."""
    return sorted(folders, key=lambda one: (one.rank, len(one.parts), one.parts))


def find_annotations(root: Path, patterns: Sequence[str], *, deep: bool = True) -> list[Path]:
    """Files below a root whose name fits a pattern, case aside; sorted.

    Args:
        root: Where to look.
        patterns: Of names; one for workbooks (`*.xls*`) fits a table that was saved as CSV too.
        deep: Whether to look into its folders.
    """
    wanted = {pattern.lower() for pattern in patterns}
    wanted |= {f"{pattern.rpartition('.xls')[0]}.csv" for pattern in wanted if ".xls" in pattern}
    return [
        folder / name
        for folder, _, files in (walk(root) if deep else itertools.islice(walk(root), 1))
        for name in files
        if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in wanted)
    ]


def unpack_hint(root: Path) -> str:
    """Words for a message if an archive below a root may hold what is missing."""
    archives = [name for _, _, files in walk(root) for name in files if is_archive(name)]
    return f" (is it inside {archives[0]}? unpack that first)" if archives else ""


def nothing_found(
    root: Path,
    title: str,
    archives: Sequence[Path],
    warnings: Sequence[str],
    rejected: Sequence[RejectedVideo],
) -> SourceError:
    """The error of a root where no clip has frames, with what is likeliest the reason."""
    words = f"{root}: no clip of {title} has frames there"
    if archives:
        return SourceError(f"{words}; unpack {archives[0].relative_to(root)} first")
    reason = ""
    if warnings:
        reason = f"; {warnings[0]}"
    elif rejected:
        reason = f"; first: {rejected[0].clip}: {rejected[0].message}"
    return SourceError(f"{words} ({len(rejected)} rejected{reason}); is --root the right folder?")
