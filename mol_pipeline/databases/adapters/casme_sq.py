"""CAS(ME)^2 (Qu et al. 2018) as its owners ship it: macro- and micro-expressions.

    rawpic/s15/15_0101disgustingteeth/img001.jpg    subject / subject_stimulus
    CAS(ME)^2code_final.xlsx                        three sheets, no header

Sheet 1: participant, video and number of the expression (`anger1_1`), onset, apex, offset,
action units, emotion, kind, self-report. Sheet 2 leads from the participant to the folder's
subject, sheet 3 from the stimulus' code to its name. An offset of 0 means that the expression
goes on: it is taken to end at its apex. An apex of 0 is none.
"""

import re
from collections.abc import Mapping, Sequence

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.databases.sheets import open_table
from mol_pipeline.databases.tables import nearest_number

ANNOTATION_PATTERNS = ("*CAS(ME)^2*code*final*.xls*", "*code_final*.xls*", "*CASME*sq*.xls*")
LONG_VIDEO = re.compile(r"^(\d+)_(\d{4})")
EXPRESSION = re.compile(r"^(.+?)_(\d+)$")
STIMULUS_NOT_IN_THE_TABLE = {"disgust1": "0101"}
"""The third sheet of some copies lacks it."""


class CasmeSq(Adapter):
    """Adapter of CAS(ME)^2."""

    name = "casme-sq"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the expressions of CAS(ME)^2."""
        builder = IndexBuilder(
            self.name,
            request,
            rank=_rank,
            fractions=True,
        )
        table = builder.tables.find(ANNOTATION_PATTERNS, lambda _: None)
        opened = open_table(table)
        for note in opened.notes:
            builder.note(note)
        sheets = list(opened.sheets.values())
        if len(sheets) < 3:
            raise SourceError(
                f"{table}: has {len(sheets)} sheet(s), the owners' has three (expressions, "
                "naming rule 1, naming rule 2); name the right one with --annotation"
            )
        subjects, stimuli = _subjects(builder, sheets[1]), _stimuli(builder, sheets[2])
        folders = _folders(builder)
        rows = 0
        for number, row in enumerate(sheets[0], start=1):
            cells = [cell.strip() for cell in row] + [""] * 9
            if not cells[0].removesuffix(".0").isdigit():
                continue  # no header is shipped, but one may have been added
            rows += 1
            self._take(builder, cells, number, subjects, stimuli, folders)
        if not rows:
            raise SourceError(
                f"{table}: no row of its first sheet begins with a participant's number; is it "
                "the owners' annotation file?"
            )
        return builder.finish(table)

    def _take(
        self,
        builder: IndexBuilder,
        cells: Sequence[str],
        number: int,
        subjects: Mapping[str, str],
        stimuli: Mapping[str, str],
        folders: Mapping[tuple[str, str], list[FrameFolder]],
    ) -> None:
        participant, clip = cells[0].removesuffix(".0"), cells[1]
        subject = subjects.get(participant, "")
        onset, apex, offset = cells[2:5]
        offset_is_apex = _is_open(offset)
        if offset_is_apex:  # the expression goes on; without an apex only its onset is known
            offset = onset if _is_open(apex) else apex
        kind = cells[7].lower()
        annotated = AnnotatedClip(
            subject=f"s{subject}" if subject else f"participant {participant}",
            clip=clip,
            raw_label=cells[6],
            where=f"annotation row {number}",
            onset=onset,
            apex=apex,
            offset=offset,
            offset_source="apex" if offset_is_apex else "annotated",
            annotations={
                "action_units": cells[5],
                "expression": "macro" if "macro" in kind else "micro" if "micro" in kind else "",
                "self_report": cells[8],
            },
        )
        if not subject:
            words = f"naming rule 1 has no folder for participant {participant}"
            builder.reject(annotated, "impossible-row", words)
            return
        if not annotated.annotations["expression"]:
            words = f"kind of expression is {cells[7]!r}, neither macro nor micro"
            builder.reject(annotated, "impossible-row", words)
            return
        match = EXPRESSION.match(clip)
        video = match.group(1).strip().lower() if match else clip.lower()
        code = stimuli.get(video) or STIMULUS_NOT_IN_THE_TABLE.get(video, "")
        own = builder.folders.named(
            clip, lambda folder: folder.parent.lower() in (subject, f"s{subject}")
        )
        builder.add(
            annotated, sorted([*folders.get((subject, code), []), *own], key=lambda one: one.rank)
        )


def _is_open(cell: str) -> bool:
    """Whether a cell says that there is no such frame: nothing, or 0."""
    try:
        return not nearest_number(cell)[0]
    except ValueError:
        return False  # refused with its row, by name


def _subjects(builder: IndexBuilder, rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Participant -> number of the folder's subject."""
    found: dict[str, str] = {}
    for row in rows:
        cells = [cell.strip().lower().removesuffix(".0") for cell in row]
        if len(cells) < 3 or not cells[2].isdigit():
            continue
        number = re.search(r"\d+", f"{cells[0]} {cells[1]}")
        if number:
            _put(builder, found, cells[2], str(int(number.group())), "naming rule 1", "participant")
    return found


def _stimuli(builder: IndexBuilder, rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Name of a stimulus -> its code of four digits."""
    found: dict[str, str] = {}
    for row in rows:
        cells = [cell.strip() for cell in row]
        if len(cells) >= 2 and cells[0].removesuffix(".0").isdigit() and cells[1]:
            code = cells[0].removesuffix(".0").zfill(4)
            _put(builder, found, cells[1].lower(), code, "naming rule 2", "stimulus")
    return found


def _put(
    builder: IndexBuilder, found: dict[str, str], key: str, value: str, sheet: str, what: str
) -> None:
    """Enter a rule; one that an earlier row contradicts is said."""
    if found.get(key, value) != value:
        builder.note(f"{sheet} leads {what} {key} to {found[key]} and to {value}; the last is used")
    found[key] = value


def _folders(builder: IndexBuilder) -> dict[tuple[str, str], list[FrameFolder]]:
    """(Subject, stimulus code) -> folders of the long video."""
    found: dict[tuple[str, str], list[FrameFolder]] = {}
    for folder in builder.folders:
        match = LONG_VIDEO.match(folder.leaf)
        if match:
            key = str(int(match.group(1))), match.group(2)
            found.setdefault(key, []).append(folder)
    return found


def _rank(parts: tuple[str, ...]) -> int:
    """Whole videos, then selected, then cropped frames."""
    if any("crop" in part for part in parts):
        return 2
    return 1 if any("select" in part for part in parts) else 0
