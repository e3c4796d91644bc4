"""Write a demo database: clips in the layout of a real one, its table, the truth."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.databases.demo.faces import OWN_LICENCE, SOURCES, own_portraits
from mol_pipeline.databases.demo.layouts import LAYOUTS, Layout
from mol_pipeline.databases.demo.render import (
    FRAME_SHAPE,
    HEAD_SWAY_PX,
    make_subject,
    make_truth,
    render_frame,
)
from mol_pipeline.databases.demo.tables import FilmedClip
from mol_pipeline.databases.demo.truth import write_truth
from mol_pipeline.databases.names import DATABASES
from mol_pipeline.databases.synthetic import MARKER_NAME
from mol_pipeline.kernels.geometry import compose

JPEG_QUALITY = 92
MOST_SUBJECTS = 99
LARGEST_SWAY_PX = 20.0
"""More would take the face's frame out of the picture with some layouts."""


@dataclass(frozen=True)
class DemoSummary:
    """What was written."""

    subjects: int
    clips: int
    frames: int
    table: Path | None
    """Annotation, where the database has one in one file."""
    refused: tuple[str, ...] = ()
    """Files of `portraits` that show no face, and why, a sentence each."""

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.subjects} subjects, {self.clips} clips, {self.frames} frames"


@dataclass(frozen=True)
class _ClipJob:
    out: Path
    layout: str
    seed: int
    person: int
    place: int
    """Of the clip in the layout's plan."""
    sway_px: float
    portrait: Path | None
    peaks_px: tuple[float, float] | None


def write_demo(
    out: Path,
    *,
    layout: str = "samm",
    subjects: int | None = None,
    seed: int = 0,
    sway_px: float = HEAD_SWAY_PX,
    portraits: Path | None = None,
    peaks_px: tuple[float, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DemoSummary:
    """Write a synthetic database; the same arguments give the same bytes.

    Args:
        out: Directory that does not exist yet, or is empty.
        layout: Whose layout to imitate; a key of `LAYOUTS`.
        subjects: How many people; at least eight are needed for a telling result. None: eight,
            or as many as there are portraits.
        seed: Of everything drawn by chance.
        sway_px: Largest drift of a head, pixels of a frame.
        portraits: Folder with photographs of the user's, one person each; None: two in the
            public domain, changed.
        peaks_px: Range of the expressions' peaks, aligned pixels; None: 1.4 to 3.0, of one clip in
            eight 0.5 to 1.2.
        progress: Called with (clips done, clips in all).

    Raises:
        ConfigError: If the layout is unknown, a number is out of range, or `out` is in use.
        SourceError: If no portrait shows a face.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"layout {layout!r}: unknown; there are {', '.join(LAYOUTS)}")
    if not 0 <= sway_px <= LARGEST_SWAY_PX:
        raise ConfigError(f"sway={sway_px}: must be between 0 and {LARGEST_SWAY_PX:g} pixels")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: already in use; name a new or empty directory")
    subjects, own, refused = _people(subjects, portraits)
    out.mkdir(parents=True, exist_ok=True)
    _write_marks(out, layout, seed, sway_px, subjects, own[:subjects])
    chosen = LAYOUTS[layout]
    jobs = [
        _ClipJob(out, layout, seed, person, place, sway_px, own[person] if own else None, peaks_px)
        for person in range(subjects)
        for place in range(len(chosen.plan))
    ]
    clips, frames = list[FilmedClip](), 0
    # spawn: OpenCV's and Dlib's threads do not survive a fork.
    with ProcessPoolExecutor(cpu_count(), mp_context=get_context("spawn")) as pool:
        written = pool.map(_write_clip, jobs, chunksize=len(chosen.plan))
        for done, (clip, count) in enumerate(written, start=1):
            clips.append(clip)
            frames += count
            if progress is not None:
                progress(done, len(jobs))
    table = chosen.write_tables(out, clips)
    return DemoSummary(
        subjects=subjects, clips=len(clips), frames=frames, table=table, refused=tuple(refused)
    )


def _people(subjects: int | None, portraits: Path | None) -> tuple[int, list[Path], list[str]]:
    """How many people, their photographs, and the reasons of those that are refused."""
    own, refused = own_portraits(portraits) if portraits else ([], [])
    most = min(len(own) or MOST_SUBJECTS, MOST_SUBJECTS)
    subjects = (len(own) or 8) if subjects is None else subjects
    if not 1 <= subjects <= most:
        faces = f" ({portraits} has {len(own)} faces)" if own else ""
        raise ConfigError(f"subjects={subjects}: must be between 1 and {most}{faces}")
    return subjects, own, refused


def _write_clip(job: _ClipJob) -> tuple[FilmedClip, int]:
    """Draw and store one clip; returns what its table says and the number of frames."""
    cv2.setNumThreads(1)
    layout = LAYOUTS[job.layout]
    rng = np.random.default_rng([job.seed, job.person, job.place, 1])
    scene = layout.plan[job.place]
    subject = make_subject(job.seed, job.person, job.portrait)
    side = int(rng.integers(len(scene.movements)))
    count = int(rng.integers(16, 20))
    # One clip in eight is subtler than the rest.
    peak = rng.uniform(0.5, 1.2) if rng.random() < 1 / 8 else rng.uniform(1.4, 3.0)
    peak = peak if job.peaks_px is None else rng.uniform(*job.peaks_px)
    apex_index = layout.margin + int(rng.integers(count // 2 - 2, count // 2 + 3))
    first = _first_number(layout, job)
    numbers = first + np.arange(count + 2 * layout.margin)
    truth = make_truth(
        subject, scene.movements[side], numbers, apex_index, float(peak), rng, job.sway_px
    )
    name = layout.subject(job.person)
    clip = FilmedClip(
        person=job.person,
        place=job.place,
        subject=name,
        clip=layout.clip(job.person, job.place, scene),
        emotion=scene.emotion,
        action_units=scene.action_units or ("L14", "R14")[side],
        kind=scene.kind,
        onset=first + layout.margin,
        apex=first + apex_index,
        offset=int(numbers[-1]) - layout.margin,
        first=first,
        last=int(numbers[-1]),
    )
    view = _view(layout)
    images = (
        _seen(render_frame(subject, truth, index, rng), layout, view)
        for index in range(len(numbers))
    )
    if layout.video:
        _write_video(job.out / layout.folder(clip), images, layout)
        written = len(numbers)
    else:
        written = _write_frames(job.out, layout, clip, numbers.tolist(), images)
    heads = np.stack([compose(view, head) for head in truth.heads])
    place = job.out / "truth" / name / f"{clip.clip}.npz"
    write_truth(place, dataclasses.replace(truth, heads=heads))
    return clip, written


def _first_number(layout: Layout, job: _ClipJob) -> int:
    starts = layout.first_numbers
    if layout.stride:
        return starts[job.person % len(starts)] + job.place * layout.stride
    return starts[(job.person + job.place) % len(starts)]


def _view(layout: Layout) -> NDArray[np.float64]:
    """From the canvas to a frame of the layout: its middle, at the layout's scale, `[2, 3]`."""
    height, width = layout.size
    x = FRAME_SHAPE[1] / 2 - width / layout.scale / 2
    y = FRAME_SHAPE[0] / 2 - height / layout.scale / 2
    shift = [layout.scale * (0.5 - corner) - 0.5 for corner in (x, y)]  # centres of pixels
    return np.array([[layout.scale, 0.0, shift[0]], [0.0, layout.scale, shift[1]]])


def _seen(image: NDArray[np.uint8], layout: Layout, view: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A canvas as the layout's camera shows it."""
    height, width = layout.size
    if (height, width) != image.shape:
        if layout.scale < 1:  # no alias
            image = cv2.GaussianBlur(image, (0, 0), 0.4 / layout.scale)
        image = cv2.warpAffine(image, view, (width, height), flags=cv2.INTER_CUBIC)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if layout.colour else image


def _write_frames(
    out: Path,
    layout: Layout,
    clip: FilmedClip,
    numbers: Sequence[int],
    images: Iterable[NDArray[np.uint8]],
) -> int:
    folder = out / layout.folder(clip)
    folder.mkdir(parents=True, exist_ok=True)
    lost = clip.apex + 2 if layout.gap and clip.place == len(layout.plan) - 1 else None
    written = 0
    for number, image in zip(numbers, images, strict=True):
        if number == lost:
            continue
        path = folder / layout.file(clip, number)
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
        _, content = cv2.imencode(path.suffix, image, options)
        path.write_bytes(content.tobytes())
        written += 1
    if lost is not None:
        (folder / "Thumbs.db").touch()  # as file managers leave it
    return written


def _write_video(path: Path, images: Iterable[NDArray[np.uint8]], layout: Layout) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = layout.size
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, 25.0, (width, height))
    if not writer.isOpened():
        raise ConfigError(f"{path}: OpenCV cannot write AVI here; choose another --layout")
    for image in images:
        writer.write(image)
    writer.release()


def _write_marks(
    out: Path, layout: str, seed: int, sway_px: float, subjects: int, own: Sequence[Path]
) -> None:
    names = [(path.name, OWN_LICENCE) for path in own]
    sources = names or [(name, SOURCES[name][0]) for name in sorted(SOURCES)]
    marks = {
        "synthetic": True,
        "layout": layout,
        "subjects": subjects,
        "seed": seed,
        "sway_px": sway_px,
        "sources": [{"name": name, "licence": licence} for name, licence in sources],
    }
    (out / MARKER_NAME).write_text(json.dumps(marks, indent=1) + "\n", encoding="utf-8")
    (out / "README.txt").write_text(
        "SYNTHETIC DATA, made by 'molprep demo'.\n\n"
        f"{'The photographs of a user' if own else 'Photographs in the public domain'}, moved by a "
        f"program in the layout of {DATABASES[layout]}.\n"
        "Every row of its table is invented. Nothing here comes from the real database, and\n"
        "no number made from it says anything about a real one. truth/ holds the true motion.\n",
        encoding="utf-8",
    )
