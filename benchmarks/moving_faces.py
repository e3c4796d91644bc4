"""Photographs of faces that move as they are told, with the true motion: to measure alignment.

A frame pixel `q` shows the point `c` of the photograph, with `p = head^-1(q)` and
`c = p - amplitude * field(p)`, as in `mol_pipeline.databases.demo.truth`; the background stays. The
photograph is held three times as large and slightly blurred, as a lens does: what is sharper than
the pixels would shimmer while it moves, and OpenCV's cubic interpolation alone is off by 0.03 px.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.databases.demo.faces import SOURCES, load_portrait
from mol_pipeline.databases.demo.warps import (
    HAPPINESS,
    SURPRISE,
    expression_field,
    landmark_field,
)
from mol_pipeline.kernels.alignment import alignment_transform
from mol_pipeline.kernels.detection import FaceDetector, main_face
from mol_pipeline.kernels.geometry import apply_transform, compose, invert_transform, similarity
from mol_pipeline.kernels.landmarks import LandmarkPredictor

FRAMES = 8
HEIGHT = 900
FINER = 3
LENS_PX = 0.5
NOISE_GREY_LEVELS = 1.0
EXPRESSIONS = {"brow": SURPRISE, "smile": HAPPINESS}


@dataclass(frozen=True)
class Motion:
    """What a clip shows."""

    name: str
    sway_px: float = 0.0
    """Step of the head from frame to frame, with 0.1 degrees and 0.1 % for each pixel."""
    turn_degrees: float = 0.0
    """In the plane, over the clip."""
    light: float = 0.0
    """Change of light over the clip, share."""
    blink: bool = False
    expression: str = ""
    peak_px: float = 0.0
    """Of the expression, aligned pixels."""
    yaw_degrees: float = 0.0
    """Out of the plane, over the clip."""


MOTIONS = (
    Motion("still"),
    Motion("sway 1 px", sway_px=1.0),
    Motion("sway 3 px", sway_px=3.0),
    Motion("turn 2 degrees", sway_px=1.0, turn_degrees=2.0),
    Motion("light 10 %", sway_px=1.0, light=0.1),
    Motion("blink", sway_px=1.0, blink=True),
    Motion("brow 0.5 px", sway_px=1.5, expression="brow", peak_px=0.5),
    Motion("brow 2 px", sway_px=1.5, expression="brow", peak_px=2.0),
    Motion("smile 0.5 px", sway_px=1.5, expression="smile", peak_px=0.5),
    Motion("smile 2 px", sway_px=1.5, expression="smile", peak_px=2.0),
    Motion("yaw 1 degree", yaw_degrees=1.0),
)


@dataclass(frozen=True)
class Face:
    """A photograph of a face, ready to move."""

    name: str
    grey: NDArray[np.uint8]
    finer: NDArray[np.float32]
    """The same, three times as large."""
    landmarks: NDArray[np.float64]
    transform: NDArray[np.float64]
    """Photograph -> aligned, by them."""

    @property
    def scale(self) -> float:
        """Aligned pixels a pixel of the photograph."""
        return float(np.sqrt(np.linalg.det(self.transform[:, :2])))

    @property
    def grid(self) -> NDArray[np.float64]:
        """Points of its pixels, `[height, width, 2]`."""
        height, width = self.grey.shape
        return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)


@dataclass(frozen=True)
class MovingFace:
    """A clip and its truth."""

    frames: list[NDArray[np.uint8]]
    transforms: list[NDArray[np.float64]]
    """Source -> aligned that take the head's motion out exactly; not where the head turns out of
    the plane."""
    flows: list[NDArray[np.float64]]
    """What remains to be seen then, `[2, 144, 144]` a pair."""


def make_face(name: str, grey: NDArray[np.uint8], height: int = HEIGHT) -> Face | None:
    """A photograph at a height; None if Dlib finds no face in it."""
    scale = height / len(grey)
    size = (round(grey.shape[1] * scale), height)
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4)
    box = main_face(FaceDetector().detect(grey), *grey.shape)
    if box is None:
        return None
    landmarks = LandmarkPredictor().predict(grey, box)
    finer = cv2.resize(
        grey.astype(np.float32), None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LANCZOS4
    )
    finer = cv2.GaussianBlur(finer, (0, 0), FINER * LENS_PX)
    return Face(name, grey, finer, landmarks, alignment_transform(landmarks))


def demo_faces(height: int = HEIGHT) -> list[Face]:
    """The photographs that the demo is made from."""
    made = [make_face(name, load_portrait(name).grey, height) for name in sorted(SOURCES)]
    return [face for face in made if face is not None]


def folder_faces(folder: Path, height: int = HEIGHT) -> Iterator[Face]:
    """Those of a folder in which Dlib finds a face; the others are named on the screen."""
    for path in sorted(folder.iterdir()):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        face = None if grey is None else make_face(path.stem, grey, height)
        if face is None:
            print(f"{path}: no picture with a face; left out")
        else:
            yield face


def move(face: Face, motion: Motion, seed: int = 0) -> MovingFace:
    """A clip of a face in motion, with camera noise.

    Args:
        face: Whose.
        motion: What it does.
        seed: Of the sway and of the noise.
    """
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, FRAMES)
    heads = _sway(face, motion, rng)
    field = np.zeros((*face.grey.shape, 2), dtype=np.float32)
    course = np.zeros(FRAMES)
    if motion.expression:
        field = expression_field(EXPRESSIONS[motion.expression], face.landmarks, face.grey.shape)
        course = np.sin(np.pi / 2 * np.minimum(time / 0.7, 1)) * motion.peak_px / face.scale
    elif motion.blink:
        field, course = _lids(face), np.array([0, 0, 0.5, 1, 1, 0.5, 0, 0])
    depth = _depth(face) if motion.yaw_degrees else np.zeros(face.grey.shape)
    mask = _head_mask(face)
    frames = []
    for head, amplitude, t in zip(heads, course, time, strict=True):
        still = apply_transform(invert_transform(head), face.grid)
        points = face.grid + (still - face.grid) * mask[..., None]
        points = points - amplitude * _sampled(field, points)
        points[..., 0] -= np.sin(np.radians(motion.yaw_degrees * t)) * depth * mask
        grey = _seen(face, points) * (1 + motion.light * t)
        grey += NOISE_GREY_LEVELS * rng.standard_normal(grey.shape, dtype=np.float32)
        frames.append(np.clip(np.round(grey), 0, 255).astype(np.uint8))
    transforms = [compose(face.transform, invert_transform(head)) for head in heads]
    return MovingFace(frames, transforms, _flows(face, field, course))


def still_part(face: Face, motion: Motion) -> NDArray[np.bool_]:
    """Where the aligned face of a clip without an expression holds still, `[144, 144]`."""
    still = np.zeros((144, 144), dtype=np.uint8)
    still[24:120, 24:120] = 1
    if motion.blink:
        points = apply_transform(face.transform, face.landmarks)
        for eye in (points[36:42], points[42:48]):
            centre = tuple(round(x) for x in eye.mean(axis=0))
            cv2.circle(still, centre, 16, 0, -1)
    return still > 0


def _sway(face: Face, motion: Motion, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    centre = face.landmarks.mean(axis=0)
    place, angle, scale = np.zeros(2), 0.0, 1.0
    heads = []
    for t in np.linspace(0, 1, FRAMES):
        turned = np.radians(angle + motion.turn_degrees * t)
        heads.append(similarity(angle=turned, scale=scale, centre=centre, target=centre + place))
        way = rng.uniform(0, 2 * np.pi)
        place = place + motion.sway_px * np.array([np.cos(way), np.sin(way)])
        angle += 0.1 * motion.sway_px * rng.choice([-1, 1])
        scale *= 1 + 0.001 * motion.sway_px * rng.choice([-1, 1])
    return heads


def _lids(face: Face) -> NDArray[np.float32]:
    """Upper lids down to the lower ones."""
    points = face.landmarks
    shifts = np.zeros((68, 2))
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        shifts[upper] = points[lower] - points[upper]
    eyes = float(np.linalg.norm(points[42:48].mean(axis=0) - points[36:42].mean(axis=0)))
    return landmark_field(points, shifts, face.grey.shape, reach=0.06 * eyes)


def _head_mask(face: Face) -> NDArray[np.float64]:
    """1 on the head, 0 on the background."""
    x, y = np.moveaxis(apply_transform(face.transform, face.grid), -1, 0)
    away = np.hypot((x - 71.5) / 85, (y - 66) / 95)
    mask = np.clip((1.5 - away) / 0.5, 0, 1)
    return mask * mask * (3 - 2 * mask)


def _depth(face: Face) -> NDArray[np.float64]:
    """Distance in front of the axis that the head turns on, pixels: an ellipsoid and a nose."""
    x, y = np.moveaxis(apply_transform(face.transform, face.grid), -1, 0)
    points = apply_transform(face.transform, face.landmarks)
    bridge, tip = points[27], points[30]
    skull = 60 * np.sqrt(np.clip(1 - ((x - 71.5) / 62) ** 2 - ((y - 68) / 85) ** 2, 0, 1))
    rise = np.clip((y - bridge[1]) / (tip[1] - bridge[1]), 0, 1)
    below = np.where(y > tip[1], np.exp(-(((y - tip[1]) / 6) ** 2)), 1.0)
    nose = 14 * rise * below * np.exp(-(((x - tip[0]) / 9) ** 2))
    return (skull + nose + 10) / face.scale


def _sampled(field: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = (np.ascontiguousarray(points[..., i], dtype=np.float32) for i in range(2))
    found = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.astype(np.float64)


def _seen(face: Face, points: NDArray[np.float64]) -> NDArray[np.float32]:
    finer = ((points + 0.5) * FINER - 0.5).astype(np.float32)
    x, y = (np.ascontiguousarray(finer[..., i]) for i in range(2))
    return cv2.remap(face.finer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _flows(
    face: Face, field: NDArray[np.float32], course: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    axis = np.arange(144.0)
    aligned = np.stack(np.meshgrid(axis, axis), axis=-1)
    source = apply_transform(invert_transform(face.transform), aligned)
    flows = []
    for before, after in itertools.pairwise(course):
        canvas = source - before * _sampled(field, source)
        moved = canvas
        for _ in range(20):  # contraction: the field changes far less than a pixel per pixel
            moved = canvas + after * _sampled(field, moved)
        flows.append(np.moveaxis((moved - source) @ face.transform[:, :2].T, -1, 0))
    return flows
