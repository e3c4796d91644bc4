"""Write a demo database: clips in the layout of SAMM, its spreadsheet, the truth."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

import cv2
import numpy as np

from mol_pipeline.databases.demo import warps
from mol_pipeline.databases.demo.faces import SOURCES
from mol_pipeline.databases.demo.render import make_subject, make_truth, render_frame
from mol_pipeline.databases.demo.samm_table import TableRow, write_samm_table
from mol_pipeline.databases.demo.truth import write_truth
from mol_pipeline.databases.synthetic import MARKER_NAME
from mol_pipeline.errors import ConfigError

JPEG_QUALITY = 92
MOST_SUBJECTS = 99

PLAN: tuple[tuple[str, str, tuple[warps.Displacements, ...]], ...] = (
    ("Anger", "4+7", (warps.ANGER,)),
    ("Happiness", "6+12", (warps.HAPPINESS,)),
    ("Surprise", "1+2+5", (warps.SURPRISE,)),
    ("Contempt", "", (warps.CONTEMPT_LEFT, warps.CONTEMPT_RIGHT)),
    ("Other", "17+24", (warps.OTHER,)),
    ("Anger", "4", (warps.ANGER,)),
    ("Happiness", "12 ", (warps.HAPPINESS,)),
    ("Surprise", "1+2", (warps.SURPRISE,)),
)
"""Clips of every subject: emotion, action units, and the movements it may be.

One action-unit cell has a blank at its end, as the real table has."""


@dataclass(frozen=True)
class DemoSummary:
    """What was written."""

    subjects: int
    clips: int
    frames: int
    table: Path

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.subjects} subjects, {self.clips} clips, {self.frames} frames"


@dataclass(frozen=True)
class _ClipJob:
    out: Path
    seed: int
    subject: int
    position: int
    """Of the clip in `PLAN`."""


def write_demo(
    out: Path,
    *,
    layout: str = "samm",
    subjects: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> DemoSummary:
    """Write a synthetic database; the same arguments give the same bytes.

    Args:
        out: Directory that does not exist yet, or is empty.
        layout: Whose layout to imitate.
        subjects: How many people; at least eight are needed for a telling result.
        seed: Of everything drawn by chance.
        progress: Called with (clips done, clips in all).

    Raises:
        ConfigError: If the layout is unknown, the number is out of range, or `out` is in use.
    """
    if layout != "samm":
        raise ConfigError(f"layout {layout!r}: unknown; there is 'samm'")
    if not 1 <= subjects <= MOST_SUBJECTS:
        raise ConfigError(f"subjects={subjects}: must be between 1 and {MOST_SUBJECTS}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: already in use; name a new or empty directory")
    out.mkdir(parents=True, exist_ok=True)
    _write_marks(out, layout, subjects, seed)
    jobs = [
        _ClipJob(out, seed, subject, position)
        for subject in range(subjects)
        for position in range(len(PLAN))
    ]
    rows: list[TableRow] = []
    frames = 0
    # spawn: OpenCV's and Dlib's threads do not survive a fork.
    with ProcessPoolExecutor(cpu_count(), mp_context=get_context("spawn")) as pool:
        for done, row in enumerate(pool.map(_write_clip, jobs, chunksize=len(PLAN)), start=1):
            rows.append(row)
            frames += row.offset - row.onset + 1
            if progress is not None:
                progress(done, len(jobs))
    table = out / "SAMM_Micro_FACS_Codes_v2.xlsx"
    write_samm_table(table, rows)
    return DemoSummary(subjects=subjects, clips=len(rows), frames=frames, table=table)


def subject_name(number: int) -> str:
    """SAMM's way to write a subject: three digits, starting at 006."""
    return f"{number + 6:03d}"


def _write_clip(job: _ClipJob) -> TableRow:
    cv2.setNumThreads(1)
    rng = np.random.default_rng([job.seed, job.subject, job.position, 1])
    emotion, action_units, movements = PLAN[job.position]
    subject = make_subject(job.seed, job.subject)
    side = int(rng.integers(len(movements)))
    count = int(rng.integers(16, 20))
    # Three, four and five digits, and one that goes from four to five on its way.
    choices = np.array([rng.integers(20, 900), rng.integers(1000, 9000), 9990, 12000])
    onset = int(rng.choice(choices))
    apex_index = int(rng.integers(count // 2 - 2, count // 2 + 3))
    # One clip in eight is subtler than the rest.
    peak = rng.uniform(0.5, 1.2) if rng.random() < 1 / 8 else rng.uniform(1.4, 3.0)
    truth = make_truth(
        subject, movements[side], onset + np.arange(count), apex_index, float(peak), rng
    )
    name = subject_name(job.subject)
    clip = f"{name}_{job.position % 7 + 1}_{job.position + 1}"
    folder = job.out / "SAMM" / name / clip
    folder.mkdir(parents=True)
    for index, number in enumerate(truth.numbers):
        image = render_frame(subject, truth, index, rng)
        _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / f"{name}_{number:05d}.jpg").write_bytes(content.tobytes())
    write_truth(job.out / "truth" / name / f"{clip}.npz", truth)
    return TableRow(
        subject=name,
        clip=clip,
        onset=onset,
        apex=onset + apex_index,
        offset=onset + count - 1,
        action_units=action_units or ("L14", "R14")[side],
        emotion=emotion,
    )


def _write_marks(out: Path, layout: str, subjects: int, seed: int) -> None:
    marks = {
        "synthetic": True,
        "layout": layout,
        "subjects": subjects,
        "seed": seed,
        "sources": [{"name": name, "licence": SOURCES[name][0]} for name in sorted(SOURCES)],
    }
    (out / MARKER_NAME).write_text(json.dumps(marks, indent=1) + "\n", encoding="utf-8")
    (out / "README.txt").write_text(
        "SYNTHETIC DATA, made by 'molprep demo'.\n\n"
        "Photographs in the public domain, moved by a program in the layout of SAMM. Every row\n"
        "of the spreadsheet is invented. Nothing here comes from the real database, and no\n"
        "number made from it says anything about a real database. truth/ holds the true motion.\n",
        encoding="utf-8",
    )
