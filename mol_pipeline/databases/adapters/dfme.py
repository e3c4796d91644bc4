"""DFME (Zhao et al. 2023, arXiv 2301.00985), the largest database, as its owners ship it.

    train_data/train_data/sub0003_01/00012.png              clip / number, five digits
    test_data_B/test_data_B/sub0605_02/00044.png            test A and test B likewise
    full_release_annotation/training_full_with_AU.xlsx      a table for each part; Sheet1
    full_release_annotation/test_A_full_with_AU.xlsx

Convention: annotated frames are the numbers in the file names. The part of a clip is that of its
table, never of its folder. A person's name means one person in all parts: whether the owners
number test people anew is not published, and so nobody who may be in two parts is on both sides
of a fold. Everything that is uncertain about this database is in decision record 0030.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.labels import label_mapping, label_mappings
from mol_pipeline.contract.unit_notation import ACTION_UNITS
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip, TableFormat, annotated_clip
from mol_pipeline.databases.annotations import one_of
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, find_annotations, unpack_hint
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import Columns, Row, content_of, read_table
from mol_pipeline.databases.unit_columns import read_unit_columns

PARTS = ("training", "test-a", "test-b")
"""Of the owners' split."""
PARTITION = "partition"
TRAINING_WORD = re.compile(r"train", re.IGNORECASE)
TEST_WORD = re.compile(r"test[ _\-]*(?:data|set)?[ _\-]*(?P<letter>[ab](?![a-z]))?", re.IGNORECASE)
SUBJECT = re.compile(r"(?:sub(?:ject)?[ _\-]*)?0*(\d+)", re.IGNORECASE)
CLIP_FOLDER = re.compile(r"(sub0*\d+)_\w+", re.IGNORECASE)
EMOTION: Columns = {"emotion": ("Emotion", "Estimated Emotion", "Emotion label")}
TABLE = TableFormat(
    patterns=("*train*.xls*", "*test*.xls*"),
    columns={
        "subject": ("Subject", "sub"),
        "filename": ("Filename", "File name"),
        "onset": ("OnsetFrame", "Onset"),
        "apex": ("ApexFrame", "Apex"),
        "offset": ("OffsetFrame", "Offset"),
    },
    optional={**EMOTION, ACTION_UNITS: ("AU", "AUs", "Action Units")},
)


class Dfme(Adapter):
    """Adapter of DFME."""

    name = "dfme"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the clips of every part whose table is here.

        Raises:
            SourceError: If there is no table, a part has two that differ, or the training part
                has no emotions.
        """
        builder = IndexBuilder(self.name, request)
        tables = _tables(builder, request)
        rows = [row for part, path in tables.items() for row in _rows_of(builder, part, path)]
        _say_shared_people(builder, rows)
        _say_other_words(builder, rows)
        for row in rows:
            if row.problem:
                builder.reject(row.clip, "impossible-row", row.problem)
            else:
                _take(builder, row)
        builder.reject_folders(_clip_of_folder)
        return builder.finish(next(iter(tables.values())) if len(tables) == 1 else None)


@dataclass(frozen=True)
class _PartRow:
    """A row of a part's table."""

    part: str
    clip: AnnotatedClip
    cells: tuple[str, ...]
    problem: str = ""
    """Why it cannot be a clip."""


def parts_meant(name: str) -> frozenset[str]:
    """Parts that the name of a table or a folder may mean; none if it names none.

    `test_data` without a letter may be that of test A and of test B.
    """
    test = TEST_WORD.search(name)
    if test is not None:
        letter = test["letter"]
        return frozenset({f"test-{letter.lower()}"} if letter else {"test-a", "test-b"})
    return frozenset({"training"} if TRAINING_WORD.search(name) else ())


def _tables(builder: IndexBuilder, request: IndexRequest) -> dict[str, Path]:
    """Part -> its table. Tests come first: a row that is in two parts is kept where it is tested.

    Raises:
        SourceError: If there is none, or one that cannot be read or told.
    """
    named = request.annotation
    if named is not None and not named.exists():
        raise SourceError(f"{named}: no annotation file there; check --annotation")
    place = request.root if named is None else named
    found = [place] if place.is_file() else find_annotations(place, TABLE.patterns)
    of_part: dict[str, list[Path]] = defaultdict(list)
    unread: dict[str, list[Path]] = defaultdict(list)
    for path in found:
        meant = parts_meant(path.stem)
        if content_of(path, TABLE.columns) is None and path != named:
            if len(meant) == 1:
                unread[next(iter(meant))].append(path)
            continue  # else another table with such a name
        if len(meant) != 1:
            raise SourceError(
                f"{path}: its name says neither training, test A nor test B, so nobody can tell "
                "which part of DFME its rows are; name it as the owners do, e.g. "
                "test_A_full_with_AU.xlsx"
            )
        of_part[next(iter(meant))].append(path)
    for part, paths in unread.items():
        if part not in of_part:  # a part must not be lost in silence: says what is wrong with it
            read_table(paths[0], TABLE.columns)
    if not of_part:
        raise SourceError(
            f"{place}: no DFME annotation ({' or '.join(TABLE.patterns)}, with the columns "
            f"{', '.join(names[0] for names in TABLE.columns.values())}) in it or below; put the "
            f"owners' full_release_annotation there or name it with --annotation"
            f"{unpack_hint(place) if place.is_dir() else ''}"
        )
    tables = {part: _one_table(builder, of_part[part]) for part in reversed(PARTS) if of_part[part]}
    absent = [part for part in PARTS if part not in tables]
    if absent:
        builder.note(f"no table of {' and '.join(absent)} here: its clips are not listed")
    return tables


def _one_table(builder: IndexBuilder, tables: Sequence[Path]) -> Path:
    """The table of a part; of several that agree that which says most."""

    def fullness(path: Path) -> tuple[int, str]:
        content = content_of(path, TABLE.columns, TABLE.optional) or []
        return -sum(map(len, content)), path.as_posix()

    first, *others = sorted(tables, key=fullness)
    columns = {**TABLE.columns}
    if all(content_of(path, {**columns, **EMOTION}) is not None for path in tables):
        columns |= EMOTION
    said = partial(content_of, columns=columns)
    if all(said(first) == said(other) for other in others):
        if others:
            builder.note(f"{first.name} is used; {', '.join(one.name for one in others)} agree")
        return first
    table, _ = one_of([first, *others], builder.root)  # names them, and asks
    return table


def _rows_of(builder: IndexBuilder, part: str, path: Path) -> list[_PartRow]:
    """What the table of a part says.

    Raises:
        SourceError: If it is the training part and has no emotions.
    """
    rows = builder.tables.rows(path, TABLE)
    if not any(row.text("emotion") for row in rows):
        if part == "training":
            raise SourceError(
                f"{path}: no column {' or '.join(map(repr, EMOTION['emotion']))} with words in it: "
                "the training part of DFME has emotions; name the owners' table with --annotation"
            )
        builder.warn(
            f"{path.name} has no emotions: clips of {part} can be built and predicted, and no "
            "score is made of them"
        )
    units = read_unit_columns(rows)
    for note in units.notes:
        builder.note(f"{path.name}: {note}")
    return [_row_of(row, part, path, units.texts) for row in rows]


def _row_of(row: Row, part: str, path: Path, units: Mapping[int, str]) -> _PartRow:
    name = row.text("filename")
    subject = subject_name(row.text("subject") or name.partition("_")[0])
    clip = annotated_clip(row, TABLE, subject=subject)
    annotations = {PARTITION: part, ACTION_UNITS: units.get(row.number, "")}
    clip = replace(clip, annotations=annotations, where=f"{path.name}, {clip.where}")
    own = CLIP_FOLDER.fullmatch(name)
    problem = ""
    if own is not None and subject_name(own[1]) != subject:
        problem = (
            f"the row says {row.text('subject')}, its file {name} says {own[1]}: nobody can tell "
            "whom it shows"
        )
    return _PartRow(part, clip, tuple(row.cells.values()), problem)


def _take(builder: IndexBuilder, row: _PartRow) -> None:
    part, name = row.part, row.clip.clip
    clip = builder.named_apart(row.clip, row.cells, f"_{part}")
    folders = builder.folders.named(name)
    own = [one for one in folders if part in (_parts_of_folder(one) or PARTS)]
    if folders and not own:
        words = f"{folders[0].relative} is of another part than {part}"
        builder.reject(clip, "no-folder", f"{words}, and no other folder is called {name}")
        return
    # A folder that names this part alone is rather its own than one that may be of any.
    certain = [one for one in own if _parts_of_folder(one) == {part}]
    builder.add(clip, certain or own)


def _parts_of_folder(folder: FrameFolder) -> frozenset[str]:
    """Parts that the folders around a clip may mean, the nearest that names any."""
    meant = (parts_meant(name) for name in reversed(folder.parts[:-1]))
    return next((one for one in meant if one), frozenset())


def subject_name(text: str) -> str:
    """The owners' way to write a subject: `sub0003`."""
    match = SUBJECT.fullmatch(text.strip())
    return f"sub{int(match[1]):04d}" if match else text.strip()


def _clip_of_folder(folder: FrameFolder) -> tuple[str, str] | None:
    match = CLIP_FOLDER.fullmatch(folder.leaf)
    return (subject_name(match[1]), folder.leaf) if match else None


def _say_shared_people(builder: IndexBuilder, rows: Sequence[_PartRow]) -> None:
    """Say whether a person is in more than one part."""
    people: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        people[row.part].add(row.clip.subject)
    parts = [part for part in PARTS if part in people]
    shared = [
        (one, other, both)
        for one, other in itertools.combinations(parts, 2)
        if (both := sorted(people[one] & people[other]))
    ]
    for one, other, both in shared:
        names = ", ".join(both[:3]) + (" ..." if len(both) > 3 else "")
        builder.warn(
            f"{len(both)} of {len(people[other])} people of {other} are in {one} too ({names}), if "
            "a name means one person: they are on one side of a fold only, and 'moltrain folds "
            "--protocol owners-split' says how many clips it leaves out"
        )
    if len(parts) > 1 and not shared:
        builder.note(f"no person is in two of the parts {', '.join(parts)}")


def _say_other_words(builder: IndexBuilder, rows: Sequence[_PartRow]) -> None:
    """Say which emotions are none of the seven."""
    known = label_mapping(label_mappings(Dfme.name, ()), "7").table
    words = [row.clip.raw_label.strip().lower() for row in rows if row.clip.raw_label.strip()]
    other = sorted({word for word in words if word not in known})
    if other:
        many = sum(word in other for word in words)
        listed = ", ".join(map(repr, other[:5]))
        builder.warn(
            f"{many} clip(s) have an emotion that is none of the seven ({listed}): they keep their "
            "word and take part in no mapping; please tell us how your table spells it"
        )
