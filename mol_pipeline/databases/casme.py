"""CASME (Yan et al. 2013) as its owners ship it.

    CASME_raw_selected/sub01/EP01-5/EP01-5-012.jpg  clip name, then the number
    Cropped/sub01/EP01-5/reg_EP01-5-012.jpg

Convention: the frame number is the last integer of the file name; part of the release pads
it, part does not. Two apexes may be annotated; the first counts.
"""

from functools import partial
from pathlib import Path

from mol_pipeline.databases.builder import AnnotatedClip, IndexBuilder
from mol_pipeline.databases.casme2 import SUBJECT_FOLDER, is_of_subject, subject_number
from mol_pipeline.databases.files import FrameFolder, find_annotation
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import Columns, has_columns, read_table

ANNOTATION_PATTERNS = ("*CASME*.xls", "*CASME*.xlsx")
COLUMNS: Columns = {
    "subject": ("Subject",),
    "filename": ("Filename",),
    "onset": ("OnsetF", "OnsetFrame"),
    "apex": ("ApexF1", "ApexF"),
    "offset": ("OffsetF", "OffsetFrame"),
    "emotion": ("Emotion", "Estimated Emotion"),
}
OPTIONAL: Columns = {
    "action_units": ("AU", "AUs", "Action Units"),
    "second_apex": ("ApexF2",),
}


class Casme:
    """Adapter of CASME."""

    name = "casme"

    def index(
        self,
        root: Path,
        *,
        annotation: Path | None = None,
        frames: str | None = None,
        apply_corrections: bool = True,
    ) -> DatabaseIndex:
        """List CASME's clips; see `Adapter.index`."""
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
            subject = subject_number(row.text("subject"))
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
            builder.add(
                annotated,
                builder.folders.named(clip, partial(is_of_subject, subject)),
            )
        builder.reject_folders(_clip_of_folder)
        return builder.finish(table)


def _clip_of_folder(folder: FrameFolder) -> tuple[str, str] | None:
    if not SUBJECT_FOLDER.match(folder.parent.lower()):
        return None
    return subject_number(folder.parent), folder.leaf
