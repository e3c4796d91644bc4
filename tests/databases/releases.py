"""Fake releases: the owners' layout and table with invented rows and empty frame files.

A `Release` is data, so that a test can spoil it (shuffle columns, add junk, double folders)
before it is written.
"""

import csv
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xlsxwriter

Cells = dict[str, Any]


@dataclass
class Release:
    """One fake database.

    Attributes:
        name: Of the adapter.
        table: File name of the annotation, or "" if there is none.
        header: Column names in the owners' order; "" for an unnamed column; None for a table
            without a header.
        rows: Cells by column name; by position if there is no header.
        frames: Folder -> file names.
        notes: Rows above the header.
        sheet: Name of the first sheet.
        sheets: Further sheets.
        texts: Further text files by path.
    """

    name: str
    table: str = ""
    header: Sequence[str] | None = ()
    rows: list[Any] = field(default_factory=list)
    frames: dict[str, list[str]] = field(default_factory=dict)
    notes: int = 0
    sheet: str = "Sheet1"
    sheets: dict[str, list[list[Any]]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def write(
        self,
        root: Path,
        *,
        shuffle: int | None = None,
        extra: bool = False,
        shout: bool = False,
        numbers: str = "as is",
        above: str = "",
        junk: bool = False,
    ) -> Path:
        """Write it under a root, with oddities that must change nothing.

        Args:
            root: New or empty.
            shuffle: Seed for another order of columns.
            extra: Columns that the owners do not have.
            shout: Column names in upper case with blanks around.
            numbers: "text" or "float": how numbers are stored.
            above: Folder to put around all frames.
            junk: Litter beside the frames.
        """
        root.mkdir(parents=True, exist_ok=True)
        for folder, names in self.frames.items():
            place = root / above / folder
            place.mkdir(parents=True, exist_ok=True)
            for name in names:
                (place / name).touch()
            if junk:
                for name in ("Thumbs.db", f"._{names[0]}", "Desktop - Shortcut.lnk", "x.txt"):
                    (place / name).touch()
        for name, text in self.texts.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        if not self.table:
            return root
        if junk:
            place = (root / self.table).parent
            place.mkdir(parents=True, exist_ok=True)
            (place / f"~${Path(self.table).name}").touch()
        if self.header is None:
            lines = [[_stored(cell, numbers) for cell in row] for row in self.rows]
        else:
            header = [*self.header, *(["", "Checked by", "Remarks of ours"] if extra else [])]
            if shuffle is not None:
                random.Random(shuffle).shuffle(header)
            lines = [[f"note {i}: invented rows"] for i in range(self.notes)]
            lines += [[]] if self.notes else []
            lines.append([f" {name.upper()} " if shout and name else name for name in header])
            lines += [[_stored(row.get(name, ""), numbers) for name in header] for row in self.rows]
        write_table(root / self.table, {self.sheet: lines, **self.sheets})
        return root


def _stored(cell: Any, numbers: str) -> Any:
    if isinstance(cell, int) and numbers == "text":
        return f"{cell} "
    if isinstance(cell, int) and numbers == "float":
        return f"{cell}.0"
    return cell


def write_table(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    """Write xlsx, or CSV by the suffix; text stays text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(next(iter(sheets.values())))
        return
    with xlsxwriter.Workbook(str(path), {"strings_to_formulas": False}) as book:
        for name, lines in sheets.items():
            sheet = book.add_worksheet(name)
            for i, line in enumerate(lines):
                for j, cell in enumerate(line):
                    if isinstance(cell, str):
                        sheet.write_string(i, j, cell)
                    elif cell is not None:
                        sheet.write(i, j, cell)


def columns(names: str) -> list[str]:
    """Column names from a line of them."""
    return names.split(",")


@dataclass
class Clip:
    """One invented event."""

    subject: int
    name: str
    emotion: str
    onset: Any = 5
    apex: Any = 6
    offset: Any = 8
    kind: str = "micro"
    objective: str = ""
    on_disk: Sequence[int] | None = None

    @property
    def numbers(self) -> Sequence[int]:
        """Frames on disk: by default those of the interval."""
        return self.on_disk if self.on_disk is not None else range(self.onset, self.offset + 1)


SAMM_HEADER = columns(
    "Subject,Filename,Inducement Code,Onset Frame,Apex Frame,Offset Frame,"
    "Duration,Micro,Action Units,Estimated Emotion,Objective Classes,Notes"
)


def samm(clips: Sequence[Clip]) -> Release:
    """SAMM: header on row 14, five-digit grey frames."""
    release = Release(
        "samm", "SAMM_Micro_FACS_Codes_v2.xlsx", SAMM_HEADER, notes=12, sheet="MICRO_ONLY"
    )
    for clip in clips:
        subject = f"{clip.subject:03d}"
        release.rows.append(
            {
                "Subject": subject,
                "Filename": clip.name,
                "Inducement Code": 1,
                "Onset Frame": clip.onset,
                "Apex Frame": clip.apex,
                "Offset Frame": clip.offset,
                "Micro": "Micro - 1/2",
                "Action Units": "L12+A/L7 ",
                "Estimated Emotion": clip.emotion,
                "Objective Classes": clip.objective or "VII",
            }
        )
        release.frames[f"SAMM/{subject}/{clip.name}"] = [
            f"{subject}_{n:05d}.jpg" for n in clip.numbers
        ]
    return release


CASME2_HEADER = columns(
    "Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,Action Units,Estimated Emotion"
)


def casme2(
    clips: Sequence[Clip],
    *,
    coding: str = "20140508",
    tree: str = "CASME2_RAW_selected",
    prefix: str = "img",
) -> Release:
    """CASME II: unnamed columns, unpadded frames, the 2019 coding has a tenth column."""
    header = [*CASME2_HEADER, "Objective Classes"] if coding == "20190701" else CASME2_HEADER
    release = Release("casme2", f"CASME2-coding-{coding}.xlsx", header)
    release.sheets = {"Sheet2": [], "Sheet3": []}
    for clip in clips:
        release.rows.append(
            {
                "Subject": f"{clip.subject:02d}",
                "Filename": clip.name,
                "OnsetFrame": clip.onset,
                "ApexFrame": clip.apex,
                "OffsetFrame": clip.offset,
                "Action Units": 4,
                "Estimated Emotion": clip.emotion,
                "Objective Classes": clip.objective or "IV",
            }
        )
        release.frames[f"{tree}/sub{clip.subject:02d}/{clip.name}"] = [
            f"{prefix}{n}.jpg" for n in clip.numbers
        ]
    return release


def smic(clips: Sequence[Clip], camera: str = "HS") -> Release:
    """SMIC: no table; numbers of the camera's counter."""
    release = Release(f"smic-{camera.lower()}")
    for clip in clips:
        folder = f"SMIC_all_raw/{camera}/s{clip.subject}/micro/{clip.emotion}/{clip.name}"
        release.frames[folder] = [f"image{n:06d}.bmp" for n in clip.numbers]
    return release


def casme(clips: Sequence[Clip]) -> Release:
    """CASME: two apexes, the clip's name in front of the number."""
    header = columns("Subject,Filename,,OnsetF,ApexF1,ApexF2,OffsetF,,AU,Emotion")
    release = Release("casme", "CASME_label.xlsx", header)
    for i, clip in enumerate(clips):
        release.rows.append(
            {
                "Subject": clip.subject,
                "Filename": clip.name,
                "OnsetF": clip.onset,
                "ApexF1": clip.apex,
                "ApexF2": 0,
                "OffsetF": clip.offset,
                "AU": "4",
                "Emotion": clip.emotion,
            }
        )
        pad = 3 if i % 2 else 0  # part of the release pads its numbers
        release.frames[f"CASME_raw_selected/sub{clip.subject:02d}/{clip.name}"] = [
            f"{clip.name}-{n:0{pad}d}.jpg" for n in clip.numbers
        ]
    return release


STIMULI = {"disgust1": "0101disgustingteeth", "anger1": "0401girlcrashing"}


def casme_sq(clips: Sequence[Clip]) -> Release:
    """CAS(ME)^2: three sheets without a header; participants are not folder subjects."""
    release = Release("casme-sq", "CAS(ME)^2code_final.xlsx", None, sheet="CASFEcode_final")
    subjects = sorted({clip.subject for clip in clips})
    for clip in clips:
        video = clip.name.rsplit("_", 1)[0]
        release.rows.append(
            [
                subjects.index(clip.subject) + 1,
                clip.name,
                clip.onset,
                clip.apex,
                clip.offset,
                "4+7",
                clip.emotion,
                f"{clip.kind}-expression",
                "disgust",
            ]
        )
        folder = f"CAS(ME)^2/rawpic/s{clip.subject}/{clip.subject}_{STIMULI[video]}"
        names = {f"img{n:03d}.jpg" for n in clip.numbers}
        release.frames[folder] = sorted(names | set(release.frames.get(folder, ())))
    release.sheets = {
        "naming rule1": [[s, f"s{s}", i] for i, s in enumerate(subjects, start=1)],
        "naming rule2": [[STIMULI["anger1"][:4], "anger1"]],  # without disgust1
    }
    return release


CASME3_HEADER = columns("Subject,Filename,Onset,Apex,Offset,AU,Objective class,emotion")


def casme3(clips: Sequence[Clip], *, whole: bool = False) -> Release:
    """CAS(ME)^3 A: every cell is text; clips are named by video and onset."""
    release = Release(
        "casme3", "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", CASME3_HEADER, sheet="label"
    )
    release.sheets = {"Sheet1": [], "Sheet3": []}
    for clip in clips:
        release.rows.append(
            {
                "Subject": f"spNO.{clip.subject}",
                "Filename": clip.name,
                "Onset": str(clip.onset),
                "Apex": str(clip.apex),
                "Offset": str(clip.offset),
                "AU": "L2+L1",
                "Objective class": "I",
                "emotion": clip.emotion,
            }
        )
        folder = f"Part_A_ME_clip/frame/spNo.{clip.subject}_{clip.name}_{clip.onset}"
        if whole:
            folder = f"part_A/spNO.{clip.subject}/{clip.name}/color"
        names = [f"{n}.jpg" for n in clip.numbers]
        release.frames[folder] = [*release.frames.get(folder, ()), *names]
        release.frames[folder.replace("frame/", "depth/").replace("color", "depth")] = [
            f"{n}.png" for n in clip.numbers
        ]
    return release


def casme3_kinds(clips: Sequence[Clip]) -> Release:
    """The table of CAS(ME)^3 A with both kinds of expression and no emotions."""
    release = Release(
        "casme3",
        "annotation/CAS(ME)3_part_A_v2.xlsx",
        columns("Subject,Filename,Onset,Apex,Offset,AU,Expression type,Objective class"),
        sheet="AU+Emotion",
    )
    release.sheets = {"eye blink": [["Subject", "Filename", "Onset"], ["spNO.1", "a", 7]]}
    for clip in clips:
        release.rows.append(
            {
                "Subject": f"spNO.{clip.subject}",
                "Filename": clip.name,
                "Onset": clip.onset,
                "Apex": clip.apex,
                "Offset": clip.offset,
                "AU": "4",
                "Expression type": f"{clip.kind.capitalize()}-expression",
                "Objective class": 1,
            }
        )
        part = "MaE" if clip.kind == "macro" else "ME"
        folder = f"Part_A_{part}_clip/frame/spNo.{clip.subject}_{clip.name}_{clip.onset}"
        release.frames[folder] = [f"{n}.jpg" for n in clip.numbers]
    return release


MMEW_HEADER = columns(
    "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion,remarks"
)


def mmew(clips: Sequence[Clip], *, subject_first: bool = False) -> Release:
    """MMEW: frames count from 1; `others` in the table is the folder `repression`."""
    release = Release("mmew", "MMEW_Micro_Exp.xlsx", MMEW_HEADER)
    for clip in clips:
        release.rows.append(
            {
                "Subject": clip.subject,
                "Filename": clip.name,
                "OnsetFrame": clip.onset,
                "ApexFrame": clip.apex,
                "OffsetFrame": clip.offset,
                "Action Units": "12L",
                "Estimated Emotion": clip.emotion,
            }
        )
        emotion = "repression" if clip.emotion == "others" else clip.emotion
        folder = f"{emotion}/{clip.name}"
        if subject_first:
            folder = f"S{clip.subject:02d}/{folder}"
        release.frames[f"MMEW_Final/Micro_Expression/{folder}"] = [f"{n}.jpg" for n in clip.numbers]
    return release


def four_dme(clips: Sequence[Clip]) -> Release:
    """4DME: mixed emotions, key frames as floats."""
    header = columns(
        "sub_ID,fold,fold_name,Emotion,Onset,Apex,Offset,AUs,Positive,Negative,Surprise"
    )
    release = Release("4dme", "4DME_Labelling_Micro_release v1.xlsx", header)
    for clip in clips:
        release.rows.append(
            {
                "sub_ID": f"sub{clip.subject:02d}",
                "fold": 1,
                "fold_name": clip.name,
                "Emotion": clip.emotion,
                "Onset": float(clip.onset) if isinstance(clip.onset, int) else clip.onset,
                "Apex": float(clip.apex) if isinstance(clip.apex, int) else clip.apex,
                "Offset": float(clip.offset) if isinstance(clip.offset, int) else clip.offset,
                "AUs": "4(k)+12",
            }
        )
        release.frames[f"4DME/gray_micro/sub{clip.subject:02d}/{clip.name}"] = [
            f"frame_{n}.jpg" for n in clip.numbers
        ]
    return release


SAMM_LV_HEADER = columns(
    "Subject,Filename,Inducement Code,Onset,Apex,Offset,Duration,Type,Action Units,Notes"
)


def samm_lv(clips: Sequence[Clip]) -> Release:
    """SAMM Long Videos: one folder per video, no emotions."""
    release = Release(
        "samm-lv",
        "SAMM_LongVideos_V1_Release.xlsx",
        SAMM_LV_HEADER,
        notes=8,
        sheet="FACS_Movement_Only",
    )
    for clip in clips:
        release.rows.append(
            {
                "Subject": f"{clip.subject:03d}",
                "Filename": clip.name,
                "Inducement Code": 1,
                "Onset": clip.onset,
                "Apex": clip.apex,
                "Offset": clip.offset,
                "Type": "Macro" if clip.kind == "macro" else "Micro - 1/2",
                "Action Units": 12,
            }
        )
        video = clip.name.rsplit("_", 1)[0]
        names = {f"{video}_{n:04d}.jpg" for n in clip.numbers}
        folder = f"SAMM_longvideos/{video}"
        release.frames[folder] = sorted(names | set(release.frames.get(folder, ())))
    return release


SMIC_E_HEADER = columns(
    "Subject,Filename,,OnsetF,OffsetF,Onset2F,Offset2F,Onset3F,Offset3F,,"
    "FirstF,LastF,TotalMF1,TotalVL,Emotion"
)


def smic_e(rows: Sequence[Cells], camera: str = "HS") -> Release:
    """SMIC-E: one row per long video; `first`..`last` are on disk if they are numbers."""
    release = Release(
        f"smic-e-{camera.lower()}",
        f"SMIC-{camera}-E_annotation.xlsx",
        SMIC_E_HEADER,
        list(rows),
        sheet=camera,
    )
    for row in rows:
        first, last = row.get("FirstF"), row.get("LastF")
        if isinstance(first, int) and isinstance(last, int):
            place = f"SMIC-E_raw image/{camera}_long/SMIC-{camera}-E/s{row['Subject']:02d}"
            release.frames[f"{place}/{row['Filename']}"] = [
                f"image{n}.jpg" for n in range(first, last + 1)
            ]
    release.rows.append({"Subject": "three samples are not included"})
    return release


def affwild2(labels: dict[str, list[int]], crops: dict[str, Sequence[int]]) -> Release:
    """Aff-Wild2: one text file per video, crops of some of its frames."""
    release = Release("affwild2")
    header = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    for i, (video, values) in enumerate(labels.items()):
        part = ("Train_Set", "Validation_Set")[i % 2]
        path = f"6th ABAW Annotations/EXPR_Recognition_Challenge/{part}/{video}.txt"
        release.texts[path] = "\n".join([header, *map(str, values)]) + "\n"
        batch = ("cropped_aligned", "batch2/cropped_aligned_new_50_vids")[i % 2]
        release.frames[f"{batch}/{video}"] = [f"{n:05d}.jpg" for n in crops[video]]
    return release


def casme3_c(clips: Sequence[Clip]) -> Release:
    """CAS(ME)^3 part C: whole videos, no apex, units with commas, one of them wide."""
    header = columns("sub,count,onset,offset,au,emotion")
    release = Release("casme3-c", "annotation/partC/CAS(ME)3_part_C_ME.xlsx", header)
    for i, clip in enumerate(clips):
        release.rows.append(
            {
                "sub": clip.subject,
                "count": int(clip.name),
                "onset": clip.onset,
                "offset": clip.offset,
                "au": "1\uff0c2" if i == 0 else "4,7",
                "emotion": clip.emotion,
            }
        )
        place = f"part_C/{clip.subject:02d}/a"
        for kind, suffix in (("color", "jpg"), ("depth", "png")):
            names = release.frames.setdefault(f"{place}/{kind}", [])
            names += [f"{n}.{suffix}" for n in clip.numbers if f"{n}.{suffix}" not in names]
    return release


DFME_HEADER = columns("Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Emotion,AU")
DFME_TREES = {
    "training": "train_data/train_data",
    "test_A": "test_data_A/test_data_A",
    "test_B": "test_data_B",
}


def dfme(clips: Sequence[Clip], part: str = "training") -> Release:
    """One part of DFME: five-digit PNGs, the table named after the part."""
    release = Release("dfme", f"full_release_annotation/{part}_full_with_AU.xlsx", DFME_HEADER)
    for clip in clips:
        release.rows.append(
            {
                "Subject": f"sub{clip.subject:04d}",
                "Filename": clip.name,
                "OnsetFrame": clip.onset,
                "ApexFrame": clip.apex,
                "OffsetFrame": clip.offset,
                "Emotion": clip.emotion,
                "AU": "4+L7",
            }
        )
        release.frames[f"{DFME_TREES[part]}/{clip.name}"] = [f"{n:05d}.png" for n in clip.numbers]
    return release


def examples() -> dict[str, Release]:
    """A small release of each database with a table, whose clips are all good."""
    return {
        "samm": samm(
            [
                Clip(6, "006_1_2", "Anger", 9998, 10000, 10002),
                Clip(6, "006_1_3", "Other"),
                Clip(7, "007_2_1", "Happiness"),
            ]
        ),
        "casme2": casme2(
            [
                Clip(1, "EP02_01f", "happiness", 98, 100, 102),
                Clip(2, "EP02_01f", "others"),
                Clip(24, "EP07_01", "sadness"),
            ]
        ),
        "casme": casme(
            [Clip(1, "EP01_5", "tense", 98, 100, 101), Clip(2, "EP12_3", "disgust", 8, 9, 11)]
        ),
        "casme-sq": casme_sq(
            [
                Clip(15, "anger1_1", "negative", 998, 999, 1001),
                Clip(16, "disgust1_1", "positive", kind="macro"),
            ]
        ),
        "casme3": casme3(
            [
                Clip(1, "b", "disgust", 166, 168, 171),
                Clip(1, "b", "Others", 200, 200, 204),
                Clip(14, "J", "happy", 1012, 1014, 1015),
            ]
        ),
        "casme3-c": casme3_c(
            [
                Clip(1, "1", "negative", 98, "", 102),
                Clip(1, "2", "others", 200, "", 204),
                Clip(30, "1", "positive", 8, "", 13),
            ]
        ),
        "dfme": dfme(
            [
                Clip(3, "sub0003_01", "Happiness", 98, 100, 102),
                Clip(3, "sub0003_02", "Fear", 1, 3, 9),
                Clip(671, "sub0671_01", "Contempt"),
            ]
        ),
        "mmew": mmew(
            [Clip(1, "S01-01-001", "happiness", 1, 2, 4), Clip(3, "S03-04-002", "others", 1, 2, 4)]
        ),
        "4dme": four_dme([Clip(1, "1_a", "Positive"), Clip(2, "2_b", "Negative")]),
        "samm-lv": samm_lv(
            [Clip(6, "006_1_2", "", 10, 12, 14), Clip(7, "007_3_1", "", 20, 22, 24, kind="macro")]
        ),
        "smic-e-hs": smic_e(
            [
                {
                    "Subject": 1,
                    "Filename": "s1_ne_01",
                    "OnsetF": 110,
                    "OffsetF": 115,
                    "FirstF": 100,
                    "LastF": 120,
                    "Emotion": "negative",
                },
                {
                    "Subject": 11,
                    "Filename": "s11_sur_01",
                    "OnsetF": 99999,
                    "OffsetF": 100004,
                    "FirstF": 99990,
                    "LastF": 100010,
                    "Emotion": "surprise",
                },
            ]
        ),
    }
