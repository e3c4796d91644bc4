"""4DME (Li et al. 2022), its micro-expressions in grey video, as its owners ship it.

    gray_micro/{sub_ID}/{fold_name}/...             cropped copies in gray_micro_crop
    4DME_Labelling_Micro_release v1.xlsx            one-hot columns for mixed emotions and units

Convention: a clip with several emotions (`Surprise+Positive`) keeps its word and takes part
in no mapping to one class. The pattern of the file names is not documented: the last integer
is the number, and a folder that is numbered from its start is taken in order, see `fitting`.
"""

from collections.abc import Set
from dataclasses import replace
from functools import partial

from mol_pipeline.contract.unit_notation import ACTION_UNITS
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.unit_columns import read_unit_columns

TABLE = TableFormat(
    patterns=("4DME*Label*Micro*release*.xls*", "4DME*Micro*.xls*"),
    columns={
        "subject": ("sub_ID", "Subject"),
        "filename": ("fold_name", "Filename"),
        "onset": ("Onset",),
        "apex": ("Apex",),
        "offset": ("Offset",),
        "emotion": ("Emotion",),
    },
    optional={"action_units": ("AUs", "AU"), "fold": ("fold",), "blink": ("eye blink",)},
)


class FourDme(Adapter):
    """Adapter of the micro-expressions of 4DME."""

    name = "4dme"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List 4DME's clips."""
        builder = IndexBuilder(self.name, request)
        table, rows = builder.tables.read(TABLE)
        units = read_unit_columns(rows)
        for note in units.notes:
            builder.note(note)
        people = {_bare(row.text("subject")) for row in rows}
        for row in rows:
            clip = row.text("filename")
            subject = row.text("subject")
            annotated = annotated_clip(row, TABLE, subject=subject)
            annotations = {**annotated.annotations, ACTION_UNITS: units.texts.get(row.number, "")}
            annotated = replace(annotated, annotations=annotations)
            annotated = builder.named_apart(annotated, row.cells.values(), f"_{annotated.onset}")
            folders = builder.folders.named(clip, partial(_is_of_subject, subject))
            builder.add(annotated, folders or _of_nobody(people, builder.folders.named(clip)))
        return builder.finish(table, renumbered=True)


def _is_of_subject(subject: str, folder: FrameFolder) -> bool:
    return _bare(folder.parent) == _bare(subject)


def _bare(subject: str) -> str:
    """`sub01`, `01` and `1` are one subject."""
    return subject.lower().removeprefix("sub").lstrip("_0")


def _of_nobody(people: Set[str], folders: list[FrameFolder]) -> list[FrameFolder]:
    """Folders of a clip that lie in one folder, and in no other subject's."""
    parents = {_bare(folder.parent) for folder in folders}
    return folders if len(parents) == 1 and not parents & people else []
