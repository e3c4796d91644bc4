"""Finding frames, folders and annotation files in a release, junk and all."""

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mol_pipeline.errors import SourceError

FRAME_NAME = re.compile(r"(\d+)\.(?:jpe?g|png|bmp)$", re.IGNORECASE)
"""The last integer of the stem is the frame number (`reg_img46.jpg`, `006_05562.jpg`)."""

MAX_DEPTH = 8
"""How deep a release may nest; a guard against a root such as `/`."""


def require_root(root: Path, database: str) -> Path:
    """Check the folder that a user named as the root of a release.

    Raises:
        SourceError: If it does not exist, is a file, or is empty.
    """
    if not root.exists():
        raise SourceError(f"{root}: does not exist; --root must name the {database} folder")
    if not root.is_dir():
        hint = "; unpack it first" if root.suffix.lower() in {".zip", ".rar", ".7z", ".tar"} else ""
        raise SourceError(f"{root}: is a file, --root must name the {database} folder{hint}")
    if not any(root.iterdir()):
        raise SourceError(f"{root}: is empty; unpack the {database} release there")
    return root


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders under a root with their subfolders and files, sorted, junk left out."""
    base = len(root.parts)
    for folder, subfolders, files in os.walk(root):
        path = Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if len(path.parts) - base >= MAX_DEPTH:
            subfolders.clear()
        yield path, subfolders, sorted(name for name in files if not is_junk(name))


def is_junk(name: str) -> bool:
    """Whether a file is the litter of an operating system or an office program."""
    lower = name.lower()
    return lower.startswith((".", "~$")) or lower.endswith(".lnk") or lower == "thumbs.db"


def frame_number(name: str) -> int | None:
    """Number in a frame's file name, or None if it is no frame."""
    match = FRAME_NAME.search(name)
    return int(match.group(1)) if match and not is_junk(name) else None


def list_frames(folder: Path) -> tuple[tuple[int, str], ...]:
    """Frames of a folder as (number, name), sorted by number.

    Of several files with one number (`img1.jpg`, `img001.jpg`) the first by name counts.
    """
    found: dict[int, str] = {}
    with os.scandir(folder) as entries:
        for name in sorted(entry.name for entry in entries if entry.is_file()):
            number = frame_number(name)
            if number is not None:
                found.setdefault(number, name)
    return tuple(sorted(found.items()))


def find_annotation(
    root: Path, patterns: tuple[str, ...], database: str, override: Path | None
) -> Path:
    """Find the annotation file of a release by name, case aside.

    Raises:
        SourceError: If there is none, or several that differ in name.
    """
    if override is not None:
        if not override.is_file():
            raise SourceError(f"{override}: no annotation file there; check --annotation")
        return override
    found = [
        folder / name
        for folder, _, files in walk(root)
        for name in files
        if any(fnmatch.fnmatch(name.lower(), pattern.lower()) for pattern in patterns)
    ]
    if not found:
        wanted = " or ".join(patterns)
        raise SourceError(
            f"{root}: no {database} annotation ({wanted}) in it or below; "
            "put the owners' spreadsheet there or name it with --annotation"
        )
    if len({path.name.lower() for path in found}) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        raise SourceError(f"{root}: several annotations ({names}); choose one with --annotation")
    return found[0]
