"""Subjects and clips of a demo database: one resampling from photograph to frame."""

import functools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.demo.faces import SOURCES, load_own_portrait, load_portrait
from mol_pipeline.databases.demo.truth import COARSENESS, Truth
from mol_pipeline.databases.demo.warps import (
    Displacements,
    expression_field,
    identity_displacements,
    landmark_field,
)
from mol_pipeline.kernels.alignment import alignment_transform
from mol_pipeline.kernels.detection import FaceDetector, main_face
from mol_pipeline.kernels.geometry import apply_transform, similarity
from mol_pipeline.kernels.landmarks import LandmarkPredictor

FRAME_SHAPE = (650, 960)
"""Height and width of SAMM's frames."""
EYE_DISTANCE_PX = 96.0
"""Between the eye centres of every subject, before identity; a face of about 210 px."""
HEAD_SWAY_PX = 2.0
"""Largest drift of the head, in pixels of the rendered frame, as of people told to keep still."""

TURN_DEGREES_PER_PX = 0.1
"""Largest turn of the head for each pixel of sway."""

NOISE_GREY_LEVELS = 1.0
BACKDROP_GREY = 150.0
LEAST_SCORE = 0.4
"""A subject whose neutral face the detector is less sure of is drawn again."""


@dataclass(frozen=True)
class Subject:
    """One synthetic person: a neutral canvas that every frame is drawn from."""

    photograph: NDArray[np.float32]
    source_map: NDArray[np.float32]
    """Canvas -> photograph, `[650, 960, 2]`."""
    shade: NDArray[np.float32]
    """Tone and light: factor per canvas pixel."""
    mask: NDArray[np.float32]
    """1 on the person, 0 on the backdrop."""
    landmarks: NDArray[np.float64]
    """On the canvas, `[68, 2]`."""
    aligned_scale: float
    """Aligned pixels per canvas pixel."""
    portrait: str


@functools.lru_cache(maxsize=1)  # the clips of a subject follow each other
def make_subject(seed: int, number: int, own: Path | None = None) -> Subject:
    """Draw a person; the same arguments give the same person.

    Args:
        seed: Of everything drawn by chance.
        number: Of the subject.
        own: Photograph of the user's that shows them as they are; None: one of `SOURCES`, its
            face changed, so that a few photographs make many people.

    Raises:
        SourceError: If Dlib finds none of twenty candidates' faces.
    """
    for attempt in range(20):
        rng = np.random.default_rng([seed, number, attempt])
        subject = _candidate(rng, number, own)
        if subject is not None:
            return subject
    who = f" ({own})" if own else ""
    raise SourceError(f"demo subject {number}{who} (seed {seed}): no face found in 20 candidates")


def _candidate(rng: np.random.Generator, number: int, own: Path | None) -> Subject | None:
    name = sorted(SOURCES)[number % len(SOURCES)]
    portrait = load_own_portrait(own) if own else load_portrait(name)
    photograph = portrait.grey.astype(np.float32)
    landmarks = portrait.landmarks
    mirrored = not own and bool(number // len(SOURCES) % 2)
    left, right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    line = right - left
    place = similarity(
        angle=-float(np.arctan2(line[1], line[0])) + rng.uniform(-0.04, 0.04),
        scale=EYE_DISTANCE_PX / float(np.linalg.norm(line)),
        centre=landmarks[27:36].mean(axis=0),
        target=np.array([FRAME_SHAPE[1] / 2, FRAME_SHAPE[0] / 2]) + rng.uniform(-25, 25, size=2),
    )
    on_canvas = apply_transform(place, landmarks)
    changed = np.zeros((68, 2)) if own else identity_displacements(on_canvas, rng)
    # Backward map: the changed face shows the photograph's face, so displacements are taken off.
    field = landmark_field(on_canvas + changed, changed, FRAME_SHAPE, reach=0.32 * EYE_DISTANCE_PX)
    x, y = np.meshgrid(np.arange(FRAME_SHAPE[1]), np.arange(FRAME_SHAPE[0]))
    grid = np.stack([x, y], axis=-1).astype(np.float64)
    linear = np.linalg.inv(place[:, :2])
    source_map = ((grid - field - place[:, 2]) @ linear.T).astype(np.float32)
    if mirrored:
        source_map = np.ascontiguousarray(source_map[:, ::-1])
    u, v = (x / FRAME_SHAPE[1] - 0.5), (y / FRAME_SHAPE[0] - 0.5)
    tilt = rng.uniform(-0.5, 0.5, size=2)
    shade = rng.uniform(0.78, 1.12) * (1.0 + tilt[0] * u + tilt[1] * v)
    centre = apply_transform(place, landmarks[27:36].mean(axis=0))
    if mirrored:
        centre[0] = FRAME_SHAPE[1] - 1 - centre[0]
    away = np.hypot((x - centre[0]) / 2.1, (y - centre[1] + 20) / 2.7) / EYE_DISTANCE_PX
    mask = np.clip((1.0 - away) / 0.2, 0.0, 1.0)
    neutral = Subject(
        photograph=photograph,
        source_map=source_map,
        shade=shade.astype(np.float32),
        mask=(mask * mask * (3 - 2 * mask)).astype(np.float32),
        landmarks=np.zeros((68, 2)),
        aligned_scale=1.0,
        portrait=portrait.name,
    )
    image = np.round(_draw(neutral, grid.astype(np.float32))).astype(np.uint8)
    box = main_face(FaceDetector().detect(image), *image.shape)
    if box is None or box.score < LEAST_SCORE:
        return None
    found = LandmarkPredictor().predict(image, box)
    scale = float(np.sqrt(np.linalg.det(alignment_transform(found)[:, :2])))
    return Subject(**{**vars(neutral), "landmarks": found, "aligned_scale": scale})


def _draw(subject: Subject, canvas: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey frame that shows the canvas points `[height, width, 2]`."""

    def at(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.remap(
            image,
            canvas[..., 0],
            canvas[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )

    source = at(subject.source_map)  # maps are smooth: this blurs nothing
    person = cv2.remap(
        subject.photograph,
        source[..., 0],
        source[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    mask = at(subject.mask)
    return np.clip((person * mask + BACKDROP_GREY * (1 - mask)) * at(subject.shade), 4, 250)


def make_truth(
    subject: Subject,
    expression: Displacements,
    numbers: NDArray[np.integer],
    apex_index: int,
    peak_aligned_px: float,
    rng: np.random.Generator,
    sway_px: float = HEAD_SWAY_PX,
) -> Truth:
    """Choose the motion of a clip: expression over time and a slight head motion.

    Args:
        subject: Who moves.
        expression: What moves.
        numbers: Frame numbers `[t]`.
        apex_index: Index of the frame with the full expression.
        peak_aligned_px: Largest displacement at the apex, at the aligned size.
        rng: Source of chance.
        sway_px: Largest drift of the head, pixels of the rendered frame.
    """
    count = len(numbers)
    time = np.arange(count)
    rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(time / max(apex_index, 1), 0, 1))
    fall = np.clip((time - apex_index) / max(count - 1 - apex_index, 1), 0, 1)
    course = rise * (1 - 0.7 * (0.5 - 0.5 * np.cos(np.pi * fall)))
    shape = (FRAME_SHAPE[0] // COARSENESS, FRAME_SHAPE[1] // COARSENESS)
    field = expression_field(expression, subject.landmarks, FRAME_SHAPE)
    coarse = cv2.resize(field, shape[::-1], interpolation=cv2.INTER_AREA)
    coarse /= np.linalg.norm(coarse, axis=-1).max()
    # Head motion: a slow drift, larger than many expressions.
    phase = rng.uniform(0, 2 * np.pi, size=3)
    sway = np.sin(phase[:, None] + 2 * np.pi * 0.35 * time / count)
    centre = subject.landmarks.mean(axis=0)
    heads = [
        similarity(
            angle=np.radians(TURN_DEGREES_PER_PX * sway_px) * sway[2, i],
            scale=1.0,
            centre=centre,
            target=centre + sway_px * sway[:2, i],
        )
        for i in range(count)
    ]
    return Truth(
        numbers=np.asarray(numbers, dtype=np.int32),
        amplitudes=course * peak_aligned_px / subject.aligned_scale,
        heads=np.stack(heads),
        coarse_field=coarse,
    )


def render_frame(
    subject: Subject, truth: Truth, index: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """One grey frame `[650, 960]` with camera noise."""
    x, y = np.meshgrid(np.arange(FRAME_SHAPE[1]), np.arange(FRAME_SHAPE[0]))
    grid = np.stack([x, y], axis=-1).astype(np.float64)
    image = _draw(subject, truth.to_canvas(index, grid).astype(np.float32))
    image += NOISE_GREY_LEVELS * rng.standard_normal(FRAME_SHAPE, dtype=np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)
