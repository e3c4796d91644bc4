"""Pairs of pictures for the solvers of optical flow: noise, textures, flat ones, faces.

Faces come from the demo's renderer and, where they are to be had, from photographs and footage of
real people beside the project (`../shared/faces`), which are no part of it.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.config import DetectionConfig, FlowConfig
from mol_pipeline.databases.demo.render import make_subject, make_truth, render_frame
from mol_pipeline.databases.demo.warps import HAPPINESS, SURPRISE
from mol_pipeline.kernels.alignment import align_face
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.reading.frames import read_grey
from mol_pipeline.stages.video import load_kernels

FACES = Path(__file__).parents[2] / "shared" / "faces"

Grey = NDArray[np.uint8]
Pair = tuple[Grey, Grey]

SIZES = ((144, 144), (96, 128), (61, 47), (33, 90), (17, 16), (15, 40), (5, 7))
KINDS = ("noise", "texture", "steps", "flat", "constant", "large motion", "other pictures")


def drawn_pair(kind: str, height: int, width: int, seed: int) -> Pair:
    """A pair of pictures `[height, width]` of a kind."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return tuple(rng.integers(0, 256, (2, height, width), dtype=np.uint8))
    if kind == "constant":
        first, second = rng.integers(0, 256, 2)
        return np.full((height, width), first, np.uint8), np.full((height, width), second, np.uint8)
    if kind == "flat":
        first = np.full((height, width), rng.integers(60, 200), np.uint8)
        second = first.copy()
        second[height // 3 : height // 2, width // 3 :] += np.uint8(rng.integers(1, 40))
        return first, second
    if kind == "other pictures":
        return _texture(rng, height, width), _texture(rng, height, width)
    first = _texture(rng, height, width)
    if kind == "steps":
        first = np.where(first > 128, 220, 30).astype(np.uint8)
    return first, moved(first, rng, 20.0 if kind == "large motion" else 2.5)


def _texture(rng: np.random.Generator, height: int, width: int) -> Grey:
    noise = rng.normal(size=(height, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(0.8, 4.0)))
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def moved(picture: Grey, rng: np.random.Generator, most_px: float) -> Grey:
    """A picture turned, scaled and shifted by up to so many pixels."""
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), float(rng.uniform(-2, 2)), float(rng.uniform(0.98, 1.02))
    )
    turn[:, 2] += rng.uniform(-most_px, most_px, 2)
    return cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT)


def demo_pairs(subjects: int, frames: int) -> Iterator[Pair]:
    """Neighbouring aligned faces of rendered clips, and each first with each last."""
    for number in range(subjects):
        subject, rng = make_subject(0, number), np.random.default_rng(number)
        expression = (SURPRISE, HAPPINESS)[number % 2]
        truth = make_truth(subject, expression, np.arange(frames), frames - 1, 2.0, rng)
        pictures = (render_frame(subject, truth, index, rng) for index in range(frames))
        yield from _aligned_pairs(pictures)


def real_pairs(films: int, every: int, portraits: int) -> Iterator[Pair]:
    """Aligned faces of footage, `every` so many frames apart, and of moved photographs."""
    sources = sorted((FACES / "videos").iterdir())[:films]
    for source in sources:
        if source.is_dir():
            pictures = map(read_grey, sorted(source.glob("*.jpg"))[::every])
        else:
            pictures = (picture for picture in _film(source, every))
        yield from _aligned_pairs(pictures)
    rng = np.random.default_rng(0)
    for path in sorted((FACES / "portraits").iterdir())[:portraits]:
        picture = read_grey(path)
        landmarks = _tracker().find(picture).landmarks
        face = align_face(picture, landmarks)
        for most_px in (1.0, 8.0, 20.0):
            other = moved(picture, rng, most_px / face.transform[0, 0])
            yield face.image, align_face(other, landmarks, face.transform).image


def _film(path: Path, every: int) -> Iterator[Grey]:
    film = cv2.VideoCapture(str(path))
    for number in itertools.count():
        read, picture = film.read()
        if not read:
            return
        if number % every == 0:
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)


def _tracker() -> FaceTracker:
    kernels = load_kernels(FlowConfig(), None)
    return FaceTracker(kernels.detector, kernels.predictor, DetectionConfig())


def _aligned_pairs(pictures: Iterator[Grey]) -> Iterator[Pair]:
    tracker = _tracker()
    faces = [align_face(picture, tracker.find(picture).landmarks).image for picture in pictures]
    yield from itertools.pairwise(faces)
    yield faces[0], faces[-1]
