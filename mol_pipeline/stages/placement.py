"""Where the frames of one video are put in the aligned frame: by landmarks, or by registration.

`alignment.reference` decides (decision records 0001 and 0029). One placer follows one video, frame
after frame; what it cannot place yet it places in the end, when the landmarks of neighbours are
known.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mol_pipeline.kernels.alignment import (
    AlignedFace,
    FrameView,
    align_face,
    alignment_transform,
)
from mol_pipeline.kernels.geometry import apply_transform, fit_similarity
from mol_pipeline.kernels.registration import FaceReference, Registration
from mol_pipeline.reading.frames import Grey

Landmarks = NDArray[np.float64]

RIGID_POINTS = [27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45]
"""Nose and corners of the eyes: landmarks that move with the head."""
REACH_PX = 16.0
"""How far a face may be from where it was, aligned pixels, for its frame to be smoothed once."""
LEAST_LIKENESS = 0.85
"""Correlation of the rigid face: 0.92 and more in films of people who talk, 0.82 at most between
two people."""
LEAST_SUPPORT = 0.1
"""Share of its blocks that move as one: 0.17 and more in those films."""
LARGEST_DISTANCE_PX = 5.0
"""Between the landmarks of a frame and those of the reference: 1.4 at most in those films."""
SMOOTHING_FRAMES = 1.0
"""Standard deviation of the weights over time of landmarks that stand in for a registration."""


class Placer(Protocol):
    """Places the frames of one video."""

    def place(self, grey: Grey, landmarks: Landmarks) -> AlignedFace | None:
        """The next frame with a face, aligned; None: to be placed in the end.

        Raises:
            ValueError: If its landmarks give no transform.
        """
        ...

    def place_late(
        self, position: int, grey: Grey, landmarks: Mapping[int, Landmarks]
    ) -> AlignedFace:
        """A frame that is left, by all landmarks of the video; errors as `place`."""
        ...


class LandmarkPlacer:
    """By landmarks: each frame by its own, or all by those of the first.

    Args:
        is_common: Whether all frames get the transform of the first.
    """

    def __init__(self, *, is_common: bool) -> None:
        self._is_common = is_common
        self._common: NDArray[np.float64] | None = None

    def place(self, grey: Grey, landmarks: Landmarks) -> AlignedFace:
        """See `Placer.place`; never None."""
        face = align_face(grey, landmarks, self._common)
        if self._is_common:
            self._common = face.transform
        return face

    def place_late(
        self, position: int, grey: Grey, landmarks: Mapping[int, Landmarks]
    ) -> AlignedFace:
        """See `Placer.place_late`."""
        return align_face(grey, landmarks[position], self._common)


class RegisteredPlacer:
    """By registration to the first frame, or where that fails to the last frame that succeeded.

    The first frame is placed by its landmarks. A frame that looks too unlike, whose blocks do not
    move as one, or that would be too far from its own landmarks, is not trusted: it is placed in
    the end, by landmarks smoothed in time. The next frame may still be registered to it.
    """

    def __init__(self) -> None:
        self._first: FaceReference | None = None
        self._chain: FaceReference | None = None
        """A later frame, while the first does not serve."""
        self._stray: FaceReference | None = None
        """The frame just before, if it was not trusted, roughly placed by its landmarks."""
        self._points = np.zeros((0, 2))
        """Rigid landmarks of the first frame, aligned."""
        self._last: AlignedFace | None = None
        """The last frame that was placed by registration."""
        self._sum = np.zeros((len(RIGID_POINTS), 2))
        """Of the rigid landmarks of all frames that were placed, aligned."""
        self._placed = 0
        self.residuals: list[float] = []
        """Of the frames that were registered, aligned pixels."""

    def place(self, grey: Grey, landmarks: Landmarks) -> AlignedFace | None:
        """See `Placer.place`."""
        own = alignment_transform(landmarks)
        if self._first is None or self._last is None:
            face = align_face(grey, landmarks, own)
            self._first = FaceReference(FrameView(grey, own).at(own), face.landmarks)
            self._points = face.landmarks[RIGID_POINTS]
        else:
            found = self._registered(grey, landmarks, own)
            self._stray = None
            if found is None:
                rough = fit_similarity(landmarks[RIGID_POINTS], self._mean_points)
                face = align_face(grey, landmarks, rough)
                self._stray = FaceReference(face.image, face.landmarks)
                return None
            self.residuals.append(found.residual_px)
            face = align_face(grey, landmarks, found.transform)
        self._last = face
        self._sum += face.landmarks[RIGID_POINTS]
        self._placed += 1
        return face

    def _registered(
        self, grey: Grey, landmarks: Landmarks, own: NDArray[np.float64]
    ) -> Registration | None:
        """The frame brought to the first, or to another that was before it; None if none serves."""
        assert self._last is not None
        view = FrameView(grey, self._last.transform, REACH_PX)
        for reference in self._references():
            found = self._tried(reference, view, landmarks, own)
            if found is not None:
                self._chain = None if reference is self._first else reference
                return found
        return None

    def _references(self) -> Iterator[FaceReference]:
        """The first frame, the one that served last, the last that was placed, the one before."""
        assert self._last is not None
        for reference in (self._first, self._chain):
            if reference is not None:
                yield reference
        if self._placed > 1:
            yield FaceReference(self._last.image, self._last.landmarks)
        if self._stray is not None:
            yield self._stray

    @property
    def _mean_points(self) -> NDArray[np.float64]:
        """Rigid landmarks of the frames that were placed, aligned."""
        return self._sum / self._placed

    def _tried(
        self,
        reference: FaceReference,
        view: FrameView,
        landmarks: Landmarks,
        own: NDArray[np.float64],
    ) -> Registration | None:
        """A registration from where the face was, or from where its landmarks say; if trusted."""
        assert self._last is not None
        start = max((self._last.transform, own), key=lambda one: reference.likeness(view, one))
        found = reference.register(view, start)
        rigid = apply_transform(found.transform, landmarks[RIGID_POINTS])
        distance = float(np.linalg.norm(rigid - self._points, axis=-1).mean())
        is_trusted = (
            found.likeness >= LEAST_LIKENESS
            and found.support >= LEAST_SUPPORT
            and distance <= LARGEST_DISTANCE_PX
        )
        return found if is_trusted else None

    def place_late(
        self, position: int, grey: Grey, landmarks: Mapping[int, Landmarks]
    ) -> AlignedFace:
        """See `Placer.place_late`: rigid landmarks, smoothed, to where they lie in the others."""
        reach = int(np.ceil(3 * SMOOTHING_FRAMES))
        known = sorted(landmarks)
        place = known.index(position)
        near = known[max(0, place - reach) : place + reach + 1]
        weights = np.exp(
            -0.5 * ((np.arange(len(near)) - near.index(position)) / SMOOTHING_FRAMES) ** 2
        )
        points = np.stack([landmarks[one][RIGID_POINTS] for one in near])
        smoothed = np.tensordot(weights / weights.sum(), points, axes=1)
        transform = fit_similarity(smoothed, self._mean_points)
        return align_face(grey, landmarks[position], transform)
