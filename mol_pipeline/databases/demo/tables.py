"""Annotation tables in the form of the real ones, with invented rows.

Every oddity here is one that the real tables have: notes above the header, unnamed columns,
text for numbers, formulas, empty apexes, participants that are not subjects.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xlsxwriter

from mol_pipeline.contract.escaping import TableWriter

SAMM_HEADER_ROW = 14
"""From 1; rows 1 to 12 are notes, row 13 is blank."""
SAMM_OBJECTIVE_CLASSES = {"Happiness": "I", "Surprise": "II", "Anger": "III"}
MMEW_CODES = {"happiness": "01", "surprise": "02", "disgust": "03", "others": "04"}
DFME_FOLDERS = {"training": "train_data", "test_A": "test_data_A", "test_B": "test_data_B"}
AFFWILD2_CLASSES = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
AFFWILD2_NUMBERS = {"negative": 1, "positive": 4, "surprise": 6}


@dataclass(frozen=True)
class FilmedClip:
    """One clip as it was drawn."""

    person: int
    """From 0."""
    place: int
    """In the plan of the layout."""
    subject: str
    clip: str
    emotion: str
    action_units: str
    kind: str
    onset: int
    apex: int
    offset: int
    first: int
    """Number of the first frame on disk."""
    last: int


def write_samm(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """SAMM: notes, a header on row 14, formulas for the duration."""
    header = (
        *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame"),
        *("Duration", "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes"),
    )
    rows = [
        [
            clip.subject,
            clip.clip,
            1,
            clip.onset,
            clip.apex,
            clip.offset,
            f"=SUM(F{number}-D{number})+1",
            "Micro - 1/2",
            int(clip.action_units) if clip.action_units.isdigit() else clip.action_units,
            clip.emotion,
            SAMM_OBJECTIVE_CLASSES.get(clip.emotion, "VII"),
            "",
        ]
        for number, clip in enumerate(clips, start=SAMM_HEADER_ROW + 1)
    ]
    notes = [[f"Note {i}: SYNTHETIC, rows invented by molprep demo"] for i in range(1, 13)]
    values = [clip.offset - clip.onset + 1 for clip in clips]
    path = out / "SAMM_Micro_FACS_Codes_v2.xlsx"
    _write_xlsx(path, {"MICRO_ONLY": [*notes, [], header, *rows]}, formula_values=values)
    return path


def write_casme2(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """CASME II, 2014 coding: two unnamed columns, an apex of '/', two empty sheets."""
    header = (
        *("Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", ""),
        *("Action Units", "Estimated Emotion"),
    )
    rows = [
        [
            *(clip.subject, clip.clip, "", clip.onset, "/" if i == 1 else clip.apex, clip.offset),
            *("", clip.action_units or "?", clip.emotion),
        ]
        for i, clip in enumerate(clips)
    ]
    path = out / "CASME2-coding-20140508.xlsx"
    _write_xlsx(path, {"Sheet1": [header, *rows], "Sheet2": [], "Sheet3": []})
    return path


def write_nothing(out: Path, clips: Sequence[FilmedClip]) -> None:
    """SMIC has no table; a folder that is no clip lies beside the clips."""
    first = clips[0]
    other = out / "SMIC_all_raw/HS" / first.subject / "non_micro" / f"{first.subject}_non_01"
    other.mkdir(parents=True, exist_ok=True)


def smic_e_writer(camera: str) -> Callable[[Path, Sequence[FilmedClip]], Path]:
    """SMIC-E of one camera."""

    def write(out: Path, clips: Sequence[FilmedClip]) -> Path:
        header = (
            *("Subject", "Filename", "", "OnsetF", "OffsetF", "Onset2F", "Offset2F", ""),
            *("FirstF", *(("LastF",) if camera != "VIS" else ()), "TotalMF1", "TotalVL", "Emotion"),
        )
        rows: list[list[Any]] = []
        for clip in clips:
            last = [clip.last] if camera != "VIS" else []
            total = clip.offset - clip.onset + 1
            rows.append(
                [
                    *(clip.person + 1, clip.clip, "", clip.onset, clip.offset, "", "", ""),
                    *(clip.first, *last, total, clip.last - clip.first + 1, clip.emotion),
                ]
            )
        path = out / f"SMIC-{camera}-E_annotation.xlsx"
        closing: list[list[Any]] = [[], ["some samples are not included due to data loss"]]
        _write_xlsx(path, {camera: [header, *rows, *closing]})
        return path

    return write


def write_affwild2(out: Path, clips: Sequence[FilmedClip]) -> None:
    """Aff-Wild2: a text file per video; -1 at both ends, one line more than there are crops."""
    for clip in clips:
        part = ("Train_Set", "Validation_Set")[clip.place % 2]
        folder = out / "6th ABAW Annotations/EXPR_Recognition_Challenge" / part
        folder.mkdir(parents=True, exist_ok=True)
        labels = [AFFWILD2_NUMBERS[clip.emotion]] * (clip.last - clip.first + 2)
        labels[0] = labels[-1] = -1
        text = "\n".join([AFFWILD2_CLASSES, *map(str, labels)])
        (folder / f"{clip.clip}.txt").write_text(f"{text}\n")


def write_casme(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """CASME: two columns for the apex, two unnamed."""
    header = (
        *("Subject", "Filename", "", "OnsetF", "ApexF1", "ApexF2", "OffsetF", ""),
        *("AU", "Emotion"),
    )
    rows = [
        [
            *(clip.person + 1, clip.clip, "", clip.onset, clip.apex, 0, clip.offset, ""),
            *(clip.action_units, clip.emotion),
        ]
        for clip in clips
    ]
    path = out / "CASME_coding.xlsx"
    _write_xlsx(path, {"Sheet1": [header, *rows]})
    return path


def write_casme_sq(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """CAS(ME)^2: three sheets without a header, an offset of 0, an apex of 0."""
    rows: list[list[Any]] = []
    for i, clip in enumerate(clips):
        offset = 0 if clip.kind == "macro" else clip.offset
        apex = 0 if i == 0 else clip.apex
        kind = f"{clip.kind}-expression"
        rows.append(
            [
                *(clip.person + 1, clip.clip, float(clip.onset), apex, offset),
                *(clip.action_units, clip.emotion, kind, "disgust"),
            ]
        )
    people = sorted({(clip.person, clip.subject) for clip in clips})
    path = out / "CAS(ME)^2code_final.xlsx"
    _write_xlsx(
        path,
        {
            "CASFEcode_final": rows,
            "naming rule1": [[int(s[1:]), s, person + 1] for person, s in people],
            "naming rule2": [["0401", "anger1"]],  # without disgust1
        },
    )
    return path


def write_casme3(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """CAS(ME)^3: every cell is text, further sheets."""
    header = ("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion")
    rows = [
        [
            *(clip.subject, clip.clip, str(clip.onset), str(clip.apex), str(clip.offset)),
            *(clip.action_units, "VII", clip.emotion),
        ]
        for clip in clips
    ]
    path = out / "annotation/partA/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx"
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_xlsx(path, {"label": [header, *rows], "Sheet1": [["", "x"]], "Sheet3": []})
    return path


def write_mmew(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """MMEW: one offset beyond the folder's last frame."""
    header = (
        *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units"),
        *("Estimated Emotion", "remarks"),
    )
    rows = [
        [
            *(clip.person + 1, clip.clip, clip.onset, clip.apex, clip.offset + 20 * (i == 0)),
            *(clip.action_units, clip.emotion, ""),
        ]
        for i, clip in enumerate(clips)
    ]
    path = out / "MMEW_Micro_Exp.xlsx"
    _write_xlsx(path, {"Sheet1": [header, *rows]})
    return path


def write_casme3_c(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """CAS(ME)^3 part C: no apex, subjects as numbers, units separated by commas, one of them wide.

    The older table lies beside it, with a row less.
    """
    header = ("sub", "count", "onset", "offset", "au", "emotion")
    rows = [
        [
            *(clip.person + 1, clip.place + 1, clip.onset, clip.offset),
            *(clip.action_units.replace("+", "\uff0c" if i == 0 else ","), clip.emotion),
        ]
        for i, clip in enumerate(clips)
    ]
    place = out / "annotation/partC"
    place.mkdir(parents=True)
    _write_xlsx(place / "CAS(ME)3_part_C.xlsx", {"Sheet1": [header, *rows[:-1]]})
    path = place / "CAS(ME)3_part_C_ME.xlsx"
    _write_xlsx(path, {"Sheet1": [header, *rows]})
    return path


def dfme_part(person: int) -> str:
    """Part of DFME that a person is in: of three people one trains, and each test has one."""
    return tuple(DFME_FOLDERS)[person % len(DFME_FOLDERS)]


def write_dfme(out: Path, clips: Sequence[FilmedClip]) -> None:
    """DFME: a table for each part; further units in columns without a name."""
    header = (
        *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion"),
        *("AU", "", "", ""),
    )
    place = out / "full_release_annotation"
    place.mkdir()
    for part in {dfme_part(clip.person): None for clip in clips}:
        rows: list[list[Any]] = [
            [
                *(clip.subject, clip.clip, clip.onset, clip.apex, clip.offset, clip.emotion),
                *clip.action_units.split("+"),
            ]
            for clip in clips
            if dfme_part(clip.person) == part
        ]
        _write_xlsx(place / f"{part}_full_with_AU.xlsx", {"Sheet1": [header, *rows]})


def write_four_dme(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """4DME: one-hot columns, key frames with decimals."""
    words = ("Positive", "Negative", "Surprise", "Repression", "Others")
    header = (
        *("sub_ID", "fold", "fold_name", "Emotion", "Onset", "Apex", "Offset", "AUs"),
        *(*words, "eye blink", "Total", "AU1"),
    )
    rows = [
        [
            *(clip.subject, clip.place + 1, clip.clip, clip.emotion),
            *(f"{clip.onset}.0", f"{clip.apex}.0", f"{clip.offset}.0", f"{clip.action_units}(k)"),
            *(*(int(word in clip.emotion.split("+")) for word in words), 0, 1, 0),
        ]
        for clip in clips
    ]
    path = out / "4DME_Labelling_Micro_release v1.xlsx"
    _write_xlsx(path, {"Sheet1": [header, *rows]})
    return path


def write_samm_lv(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """SAMM Long Videos: notes, a header on row 10, a macro-expression from before the video.

    The table of SAMM lies beside it, in its own numbering: the emotions come from there.
    """
    header = (
        *("Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration"),
        *("Type", "Action Units", "Notes"),
    )
    rows = [
        [
            *(clip.subject, clip.clip, 1, 0 if clip.kind == "macro" else clip.onset, clip.apex),
            *(clip.offset, "", "Macro" if clip.kind == "macro" else "Micro - 1/2"),
            *(clip.action_units, ""),
        ]
        for clip in clips
    ]
    notes = [["Note: SYNTHETIC, rows invented by molprep demo"]] * 8
    path = out / "SAMM_LongVideos_V1_Release.xlsx"
    _write_xlsx(path, {"FACS_Movement_Only": [*notes, [], header, *rows]})
    write_samm(out, [clip for clip in clips if clip.kind == "micro"])
    return path


def write_custom(out: Path, clips: Sequence[FilmedClip]) -> Path:
    """The list that a user of own videos writes."""
    path = out / "clips.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.row(["path", "subject", "label", "onset", "apex", "offset"])
        for clip in clips:
            key_frames = (clip.onset, clip.apex, clip.offset) if clip.place else ("", "", "")
            name = f"videos/{clip.clip}.avi"
            writer.row([name, clip.subject, clip.emotion, *key_frames])
    return path


def _write_xlsx(
    path: Path, sheets: dict[str, Sequence[Sequence[Any]]], formula_values: Sequence[int] = ()
) -> None:
    """Write sheets; formulas carry their values, as a spreadsheet program stores them."""
    values = iter(formula_values)
    with xlsxwriter.Workbook(str(path)) as book:
        # The date would be the only thing that differs between two runs.
        book.set_properties({"created": datetime.datetime(2020, 1, 1), "comments": "SYNTHETIC"})
        for name, lines in sheets.items():
            sheet = book.add_worksheet(name)
            for i, line in enumerate(lines):
                for j, cell in enumerate(line):
                    if isinstance(cell, str) and cell.startswith("="):
                        sheet.write_formula(i, j, cell, value=next(values))
                    elif isinstance(cell, str):
                        sheet.write_string(i, j, cell)
                    else:
                        sheet.write(i, j, cell)
