"""CAS(ME)^3 part C (Li et al. 2022), micro-expressions in a mock crime, as its owners ship it.

    part_C/01/a/color/166.jpg                       subject / video / colour (and depth) / number
    annotation/partC/CAS(ME)3_part_C_ME.xlsx        sub, count, onset, offset, au, emotion

Convention: annotated frames are the numbers in the file names. There is no apex. `count` does not
name a clip, its onset does. `CAS(ME)3_part_C.xls` is older and not used where both are there. Whom
a number shows is not published against part A: its people count as others, see `docs/databases.md`.
"""

import re
from functools import partial

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, find_annotations
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import has_columns

CURRENT = "*cas*me*3*part*C*ME*.xls*"
OLDER = "*cas*me*3*part*C*.xls*"
TABLE = TableFormat(
    patterns=(OLDER,),
    columns={
        "filename": ("count", "Filename"),
        "subject": ("sub", "Subject"),
        "onset": ("onset",),
        "offset": ("offset",),
        "emotion": ("emotion",),
    },
    optional={"action_units": ("au", "AUs"), "count": ("count",)},
)
SUBJECT = re.compile(r"(?:sub(?:ject)?|s|spno\.?)?[ _]*0*(\d+)", re.IGNORECASE)
PART_A = re.compile(r"part[ _]?[ab]|ma?e_clip", re.IGNORECASE)


class Casme3PartC(Adapter):
    """Adapter of CAS(ME)^3, part C."""

    name = "casme3-c"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the clips of CAS(ME)^3 part C."""
        builder = IndexBuilder(self.name, request, rank=_rank)
        table, rows = builder.tables.read(self._format(builder, request))
        for row in rows:
            subject = subject_name(row.text("subject"))
            name = "_".join(filter(None, (row.text("count"), row.text("onset"))))
            clip = annotated_clip(row, TABLE, subject=subject, clip=name)
            clip = builder.named_apart(clip, row.cells.values(), f"_{clip.offset}")
            builder.add(clip, builder.folders.named("color", partial(_is_of, subject)))
        return builder.finish(table, long_videos=True)

    def _format(self, builder: IndexBuilder, request: IndexRequest) -> TableFormat:
        """Of the owners' current table, if it is here; else of any."""
        if request.annotation is not None:
            return TABLE
        found = find_annotations(builder.root, (OLDER,))
        current = [
            path
            for path in find_annotations(builder.root, (CURRENT,))
            if has_columns(path, TABLE.columns)
        ]
        if not current:
            return TABLE
        older = [path.name for path in found if path not in current]
        if older:
            builder.note(f"annotation {current[0].name} is used; it supersedes {', '.join(older)}")
        return TableFormat((CURRENT,), TABLE.columns, TABLE.optional)


def subject_name(text: str) -> str:
    """A subject as the folders write it, two digits."""
    match = SUBJECT.fullmatch(text.strip())
    return f"{int(match[1]):02d}" if match else text.strip()


def _is_of(subject: str, folder: FrameFolder) -> bool:
    """Whether a folder of colour frames is below a subject's: the nearest that is a number."""
    numbers = (
        subject_name(part) for part in reversed(folder.parts[:-1]) if SUBJECT.fullmatch(part)
    )
    return next(numbers, None) == subject


def _rank(parts: tuple[str, ...]) -> int | None:
    """Depth maps and the other parts of the database are no frames of this one."""
    return None if "depth" in parts or any(map(PART_A.search, parts)) else 0
