"""SAMM Long Videos (Yap et al. 2020) as its owners ship it: macro- and micro-movements.

    SAMM_longvideos/006_1/006_1_0001.jpg        video of a subject / number
    SAMM_LongVideos_V1_Release.xlsx             notes, then the table; no emotions; V2, V3 likewise

Convention: numbers start anew in each long video and must never be mixed with SAMM's. An
onset of 0 lies before the recording, an offset of 0 after it. Of several versions of the table the
newest is taken and said. Emotions come from SAMM's own table, where it lies under the root too.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.adapters import samm
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import find_annotations
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.tables import Columns, content_of, has_columns, read_table

ANNOTATION_PATTERNS = ("SAMM*Long*Video*.xls*",)
CLIP_NAME = re.compile(r"^(\d{1,3}_\d+)_\d+$")
COLUMNS: Columns = {
    "subject": ("Subject",),
    "filename": ("Filename", "File name"),
    "onset": ("Onset", "Onset Frame"),
    "apex": ("Apex", "Apex Frame"),
    "offset": ("Offset", "Offset Frame"),
    "type": ("Type", "Micro", "Micro/Macro", "Macro/Micro", "Movement Type", "Expression Type"),
}
OPTIONAL: Columns = {"action_units": ("Action Units", "AUs", "AU")}
OWNERS_ORDER = {
    "subject": 0,
    "filename": 1,
    "onset": 3,
    "apex": 4,
    "offset": 5,
    "type": 7,
    "action_units": 8,
}


class SammLongVideos(Adapter):
    """Adapter of SAMM Long Videos."""

    name = "samm-lv"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the movements of SAMM Long Videos."""
        builder = IndexBuilder(
            self.name,
            request,
            fractions=True,
        )
        table = builder.tables.find(
            ANNOTATION_PATTERNS, lambda path: content_of(path, COLUMNS, OPTIONAL), newest=True
        )
        emotions = _emotions(builder)
        if not emotions:
            builder.note("no table of SAMM below the root: micro-movements have no emotion")
        rows = read_table(table, COLUMNS, optional=OPTIONAL, positional=_data_row)
        for row in builder.tables.noted(rows):
            name = row.text("filename")
            match = CLIP_NAME.match(name)
            kind = row.text("type").lower()
            if not name or (match is None and not kind):
                continue  # a note below the table
            expression = "macro" if "macro" in kind else "micro" if "micro" in kind else ""
            subject = samm.subject_name(row.text("subject") or name.split("_")[0])
            clip = AnnotatedClip(
                subject=subject,
                clip=name,
                raw_label=emotions.get(name, "") if expression == "micro" else "",
                where=row.where,
                onset=row.text("onset"),
                apex=row.text("apex"),
                offset=row.text("offset"),
                annotations={"action_units": row.text("action_units"), "expression": expression},
                person=f"{samm.Samm.name}/{subject}",
                zero="open",
            )
            if match is None or not expression:
                builder.reject(clip, "impossible-row", f"type {row.text('type')!r} of {name!r}")
                continue
            clip = builder.named_apart(clip, row.cells.values(), f"_{expression}_{clip.onset}")
            builder.add(clip, builder.folders.named(match.group(1)))
        return builder.finish(table, long_videos=True)


def _emotions(builder: IndexBuilder) -> dict[str, str]:
    """Clip -> emotion, by SAMM's own table, if it is there.

    Raises:
        SourceError: If there are several that give a clip different emotions.
    """
    found: dict[Path, dict[str, str]] = {}
    for path in find_annotations(builder.root, samm.TABLE.patterns):
        if has_columns(path, samm.TABLE.columns):
            rows = builder.tables.noted(read_table(path, samm.TABLE.columns))
            found[path] = {row.text("filename"): row.text("emotion") for row in rows}
    if not found:
        return {}
    used, emotions = next(iter(found.items()))
    for path, other in found.items():
        if other != emotions:
            raise SourceError(
                f"{used} and {path} give clips of SAMM other emotions; leave one of them below "
                "--root"
            )
    if len(found) > 1:
        builder.note(f"{len(found)} tables of SAMM with the same emotions; {used.name} is used")
    return emotions


def _data_row(row: Sequence[str]) -> dict[str, int] | None:
    """Places of the columns, for releases without a header."""
    if len(row) > OWNERS_ORDER["type"] and CLIP_NAME.match(row[OWNERS_ORDER["filename"]].strip()):
        return OWNERS_ORDER
    return None
