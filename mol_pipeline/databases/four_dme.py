"""4DME (Li et al. 2022), its micro-expressions in grey video, as its owners ship it.

    gray_micro/{sub_ID}/{fold_name}/...             cropped copies in gray_micro_crop
    4DME_Labelling_Micro_release v1.xlsx            one-hot columns for mixed emotions

Convention: a clip with several emotions (`Surprise+Positive`) keeps its word and takes part
in no mapping to one class. The pattern of the file names is not documented: the last integer
is the number, and a folder with exactly the annotated number of frames is taken in order.
"""

from functools import partial
from pathlib import Path

from mol_pipeline.databases.builder import AnnotatedClip, IndexBuilder
from mol_pipeline.databases.files import FrameFolder, find_annotation
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import Columns, has_columns, read_table

ANNOTATION_PATTERNS = ("4DME*Label*Micro*release*.xls*", "4DME*Micro*.xls*")
COLUMNS: Columns = {
    "subject": ("sub_ID", "Subject"),
    "filename": ("fold_name", "Filename"),
    "onset": ("Onset",),
    "apex": ("Apex",),
    "offset": ("Offset",),
    "emotion": ("Emotion",),
}
OPTIONAL: Columns = {"action_units": ("AUs", "AU"), "fold": ("fold",), "blink": ("eye blink",)}


class FourDme:
    """Adapter of the micro-expressions of 4DME."""

    name = "4dme"

    def index(
        self,
        root: Path,
        *,
        annotation: Path | None = None,
        frames: str | None = None,
        apply_corrections: bool = True,
    ) -> DatabaseIndex:
        """List 4DME's clips; see `Adapter.index`."""
        builder = IndexBuilder(self.name, root, frames=frames, apply_corrections=apply_corrections)
        table = find_annotation(
            root,
            ANNOTATION_PATTERNS,
            builder.title,
            annotation,
            lambda path: has_columns(path, COLUMNS),
        )
        for row in read_table(table, COLUMNS, optional=OPTIONAL):
            clip = row.text("filename")
            if not clip:
                continue
            subject = row.text("subject")
            annotated = AnnotatedClip(
                subject=subject,
                clip=clip,
                raw_label=row.text("emotion"),
                where=row.where,
                onset=row.text("onset"),
                apex=row.text("apex"),
                offset=row.text("offset"),
                annotations={name: row.text(name) for name in OPTIONAL},
            )
            annotated = builder.named_apart(annotated, row.cells.values(), f"_{annotated.onset}")
            folders = builder.folders.named(clip, partial(_is_of_subject, subject))
            builder.add(annotated, folders or _only_one(builder.folders.named(clip)))
        return builder.finish(table, renumbered=True)


def _is_of_subject(subject: str, folder: FrameFolder) -> bool:
    return _bare(folder.parent) == _bare(subject)


def _bare(subject: str) -> str:
    """`sub01`, `01` and `1` are one subject."""
    return subject.lower().removeprefix("sub").lstrip("_0")


def _only_one(folders: list[tuple[int, FrameFolder]]) -> list[tuple[int, FrameFolder]]:
    """Folders of the name, if all belong to one subject."""
    parents = {folder.parent.lower() for _, folder in folders}
    return folders if len(parents) == 1 else []
