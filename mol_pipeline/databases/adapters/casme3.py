"""CAS(ME)^3 part A (Li et al. 2022) as its owners ship it.

    Part_A_ME_clip/frame/spNO.1_b_166/166.jpg       subject_video_onset / number
    Part_A_MaE_clip/frame/...                       macro-expressions likewise
    part_A/spNO.1/b/color/166.jpg                   the whole videos
    annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx      micro, with emotions
    annotation/CAS(ME)3_part_A_v2.xls               macro and micro, without emotions

Convention: annotated frames are the numbers in the file names. Subject and video do not
name a clip: the onset does, as it is written. Frames are missing by design. Tables of version 1
are superseded. Macro-expressions are read where they are asked for, or where their table is named.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.annotations import version_of
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, find_annotations
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import Columns, Row, content_of

_KEYS: Columns = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("Onset",),
    "apex": ("Apex",),
    "offset": ("Offset",),
}
_EMOTION: Columns = {"emotion": ("emotion",)}
_UNITS: Columns = {
    "action_units": ("AU", "AUs"),
    "objective_class": ("Objective class", "Objective classes"),
}
LABELS = TableFormat(
    patterns=("*cas*me*3*part*A*.xls*", "*casme3*.xls*"),
    columns={**_KEYS, **_EMOTION},
    optional=_UNITS,
)
KINDS = TableFormat(
    patterns=LABELS.patterns,
    columns={**_KEYS, "kind": ("Expression type", "Type")},
    optional=_UNITS,
)
LISTS_OF_ERRORS = re.compile("error|wrong", re.IGNORECASE)
"""In names of the owners' lists that repeat single rows of a table."""
CURRENT_VERSION = 2
CLIP_FOLDER = re.compile(r"^spno\.?0*(\d+)_([a-z]+)_(\d+)$", re.IGNORECASE)
SUBJECT = re.compile(r"^spno\.?\s*0*(\d+)$", re.IGNORECASE)


class Casme3(Adapter):
    """Adapter of CAS(ME)^3, part A."""

    name = "casme3"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the clips of CAS(ME)^3 part A."""
        form = KINDS if _asks_for_kinds(request) else LABELS
        builder = IndexBuilder(self.name, request, rank=partial(_rank, form is KINDS))
        table = builder.tables.find(form.patterns, partial(_content, form), newest=True)
        rows = builder.tables.rows(table, form)
        version = version_of(table)[0]
        if 0 < version < CURRENT_VERSION:
            builder.warn(
                f"{table.name} is version {version}, which the owners have replaced by version "
                f"{CURRENT_VERSION}: labels and key frames in it are old"
            )
        emotions = _emotions(builder) if form is KINDS else {}
        folders = _clip_folders(builder)
        wanted = request.options.expression
        for row in rows:
            kind = _kind(row)
            if form is LABELS or wanted in {"all", kind} or not kind:
                _take(builder, row, form, kind, emotions, folders)
        kinds = "macro" if wanted == "macro" else "kinds"
        return builder.finish(table, edition=kinds if form is KINDS else "")


Event = tuple[str, str, str]
"""Subject, video and onset."""


def _take(
    builder: IndexBuilder,
    row: Row,
    form: TableFormat,
    kind: str,
    emotions: Mapping[Event, str],
    folders: "ClipFolders",
) -> None:
    video, onset = row.text("filename").lower(), row.text("onset")
    subject = subject_name(row.text("subject"))
    clip = annotated_clip(row, form, subject=subject, clip=f"{video}_{onset}")
    if form is KINDS:
        annotations = {**clip.annotations, "expression": kind}
        emotion = emotions.get((subject, video, onset), "") if kind == "micro" else ""
        name = f"{clip.clip}_macro" if kind == "macro" else clip.clip
        clip = replace(clip, clip=name, annotations=annotations, raw_label=emotion)
        if not kind:
            words = f"kind of expression is {row.text('kind')!r}, neither macro nor micro"
            builder.reject(clip, "impossible-row", words)
            return
    # Two events may begin together.
    clip = builder.named_apart(clip, row.cells.values(), f"_{clip.offset}")
    moved = builder.known_number(subject, f"{video}_{onset}", "onset", onset)
    own = folders.of(subject, video, kind or "micro", onset, moved)
    whole = builder.folders.named(
        "color", lambda folder: _is_video(folder.parts[:-1], subject, video)
    ) + builder.folders.named(video, lambda folder: _is_video(folder.parts, subject, video))
    builder.add(clip, sorted({*own, *whole}, key=lambda one: (one.rank, one.parts)))


def subject_name(text: str) -> str:
    """The owners' way to write a subject: `spNO.1`."""
    match = SUBJECT.match(text.strip())
    return f"spNO.{int(match.group(1))}" if match else text.strip()


def _kind(row: Row) -> str:
    text = row.text("kind").lower()
    return "macro" if "macro" in text else "micro" if "micro" in text else ""


def _content(form: TableFormat, path: Path) -> object:
    """What a table says; None if it is a list of errors, or another table."""
    if LISTS_OF_ERRORS.search(path.name):
        return None
    return content_of(path, form.columns, form.optional)


def _asks_for_kinds(request: IndexRequest) -> bool:
    """Whether the table of both kinds is meant: it is named, asked for, or the only one."""
    if request.annotation is not None:
        named = request.annotation
        return named.is_file() and content_of(named, KINDS.columns) is not None
    if request.options.expression == "macro":
        return True
    if not request.root.is_dir():
        return False
    tables = find_annotations(request.root, LABELS.patterns)
    has_labels = any(_content(LABELS, path) is not None for path in tables)
    return not has_labels and any(_content(KINDS, path) is not None for path in tables)


def _emotions(builder: IndexBuilder) -> dict[Event, str]:
    """Emotions of micro-expressions by the newest table that has them, if there is one."""
    tables = find_annotations(builder.root, LABELS.patterns)
    tables = [path for path in tables if _content(LABELS, path) is not None]
    if not tables:
        builder.note("no table with emotions below the root: micro-expressions have none")
        return {}
    table = max(tables, key=lambda path: (version_of(path), path.name))
    builder.note(f"emotions of micro-expressions are those of {table.name}")
    return {
        (subject_name(row.text("subject")), row.text("filename").lower(), row.text("onset")): (
            row.text("emotion")
        )
        for row in builder.tables.rows(table, LABELS)
    }


class ClipFolders:
    """Folders of single clips, by subject, video, kind of expression, and the onset they name."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str, str], dict[int, list[FrameFolder]]] = {}

    def add(self, folder: FrameFolder) -> None:
        """Enter a folder, if it is one of a clip."""
        match = CLIP_FOLDER.match(folder.leaf)
        if match:
            key = f"spNO.{int(match[1])}", match[2].lower(), _kind_of_folder(folder.parts)
            self._of.setdefault(key, {}).setdefault(int(match[3]), []).append(folder)

    def of(
        self, subject: str, video: str, kind: str, onset: str, moved: str | None
    ) -> list[FrameFolder]:
        """Folders of a clip by its onset; a neighbour's is another clip's.

        Only where a correction has moved the onset may the owners have named it by either, or by
        a third number: then all of the video's are looked into.
        """
        own = self._of.get((subject, video, kind), {})
        numbers = {int(text) for text in (onset, moved or "") if text.isdecimal()}
        found = [folder for number in sorted(numbers) for folder in own.get(number, ())]
        if found or moved is None:
            return found
        return [folder for folders in own.values() for folder in folders]


def _clip_folders(builder: IndexBuilder) -> ClipFolders:
    found = ClipFolders()
    for folder in builder.folders:
        found.add(folder)
    return found


def _kind_of_folder(parts: tuple[str, ...]) -> str:
    return "macro" if any("mae_clip" in part.lower() for part in parts) else "micro"


def _is_video(parts: tuple[str, ...], subject: str, video: str) -> bool:
    return (
        len(parts) >= 2
        and parts[-1].lower() == video.lower()
        and subject_name(parts[-2]) == subject
    )


def _rank(with_macro: bool, parts: tuple[str, ...]) -> int | None:
    """Clips before whole videos; depth maps, and macro-expressions nobody reads, not at all."""
    if "depth" in parts or (not with_macro and any("mae_clip" in part for part in parts)):
        return None
    return 0 if any("me_clip" in part or "mae_clip" in part for part in parts) else 1
