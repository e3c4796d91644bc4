"""CASME (Yan et al. 2013) as its owners ship it.

    CASME_raw_selected/sub01/EP01-5/EP01-5-012.jpg  clip name, then the number
    Cropped/sub01/EP01-5/reg_EP01-5-012.jpg

Convention: the frame number is the last integer of the file name; part of the release pads
it, part does not. Two apexes may be annotated; the first counts.
"""

from functools import partial

from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.adapters.casme2 import clip_of_folder, is_of_subject, subject_number
from mol_pipeline.databases.annotated import TableFormat, annotated_clip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.index import DatabaseIndex

TABLE = TableFormat(
    patterns=("*CASME*.xls", "*CASME*.xlsx"),
    columns={
        "subject": ("Subject",),
        "filename": ("Filename",),
        "onset": ("OnsetF", "OnsetFrame"),
        "apex": ("ApexF1", "ApexF"),
        "offset": ("OffsetF", "OffsetFrame"),
        "emotion": ("Emotion", "Estimated Emotion"),
    },
    optional={
        "action_units": ("AU", "AUs", "Action Units"),
        "second_apex": ("ApexF2",),
    },
)


class Casme(Adapter):
    """Adapter of CASME."""

    name = "casme"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List CASME's clips."""
        builder = IndexBuilder(self.name, request)
        table, rows = builder.tables.read(TABLE)
        for row in rows:
            clip = row.text("filename")
            subject = subject_number(row.text("subject"))
            annotated = annotated_clip(row, TABLE, subject=subject)
            annotated = builder.named_apart(annotated, row.cells.values(), f"_{annotated.onset}")
            builder.add(
                annotated,
                builder.folders.named(clip, partial(is_of_subject, subject)),
            )
        builder.reject_folders(clip_of_folder)
        return builder.finish(table)
