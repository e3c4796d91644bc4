"""Registration of a face to a picture of it: where the head is, to a hundredth of a pixel.

Landmarks say where a face is to a pixel; what is left moves as if the face had moved. Here the
picture itself is followed. The rigid parts of the face (cheeks, nose, forehead; not eyes, brows,
mouth) are cut into small blocks, the motion of each is found by Lucas and Kanade's equation with
the block's own light taken out, and one similarity is fitted to the motions so that blocks that
move by themselves do not count (Tukey's weights). Source: decision record 0029.

Sums are small enough that no library divides them among threads: equal frames give equal bytes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.kernels.alignment import FrameView
from mol_pipeline.kernels.geometry import compose, eye_centres, similarity

BLOCK_PX = 12
BLOCK_STEP_PX = 6
SMOOTHING_PX = 1.0
"""Of the aligned pictures before they are compared."""
COARSE_PX = 48
"""Side of the picture in which large motions are found first."""
STEPS = 8
WEIGHINGS = 6
"""Fits of one step, each with the weights of the one before."""
TUKEY = 3.0
"""A block further from the fit than so many deviations does not count."""
LEAST_DEVIATION_PX = 0.01
CONVERGED_PX = 1e-3
BLOCK_AGREES_PX = 0.5
"""A block that moves this much otherwise than the head does not support the fit."""
CENTRE = (ALIGNED_PX - 1) / 2

Picture = Float32[np.ndarray, "144 144"]


@dataclass(frozen=True)
class Registration:
    """Where a frame's face is, and how well that is known."""

    transform: Float64[np.ndarray, "2 3"]
    """Source -> aligned, `[2, 3]`."""
    support: float
    """Share of the rigid face's blocks that move as the fit says, to half a pixel."""
    residual_px: float
    """Median difference between a block's motion and the fit, aligned pixels."""
    likeness: float
    """Correlation of the rigid face with that of the reference."""


class FaceReference:
    """A picture of a face that others are brought to.

    Args:
        picture: Aligned, `[144, 144]` grey.
        landmarks: `[68, 2]` in it.
    """

    def __init__(
        self,
        picture: UInt8[np.ndarray, "144 144"] | Picture,
        landmarks: Float[np.ndarray, "68 2"],
    ) -> None:
        mask = rigid_face(landmarks)
        self._picture = _smooth(np.asarray(picture, dtype=np.float32))
        self._mask = mask.astype(np.float32)
        self._coarse = _Coarse(self._picture, mask)
        self._blocks = _Blocks(self._picture, self._mask)
        self._weights = np.ones(len(self._blocks.centres))

    def register(self, view: FrameView, start: Float64[np.ndarray, "2 3"]) -> Registration:
        """Bring a frame to this picture.

        Args:
            view: Of the frame.
            start: Roughly source -> aligned; within about ten aligned pixels of it.
        """
        transform = self._coarse.register(view, start)
        weights = self._weights
        for _ in range(STEPS):
            seen = _smooth(view.at(transform))
            step, weights, distances = self._blocks.fit(seen, weights)
            transform = compose(_step_transform(step), transform)
            if _largest_motion(step) < CONVERGED_PX:
                break
        # A block that was off once may be right again: it starts with a little weight.
        self._weights = np.maximum(weights, 0.1)
        return Registration(
            transform=transform,
            support=float(np.mean(distances < BLOCK_AGREES_PX)),
            residual_px=float(np.median(distances)),
            likeness=_correlation(seen, self._picture, self._mask),
        )

    def likeness(self, view: FrameView, transform: Float64[np.ndarray, "2 3"]) -> float:
        """Correlation of a frame under a transform with this picture, in small."""
        return self._coarse.likeness(view, transform)


def rigid_face(landmarks: Float[np.ndarray, "68 2"]) -> UInt8[np.ndarray, "144 144"]:
    """1 on the parts of an aligned face that move with the head, else 0.

    Left out are the eyes, the brows with the skin above them, and the mouth, each with a rim. What
    remains of the jaw and the cheeks may still move: the fit's weights are for that.
    """
    mask = np.zeros((ALIGNED_PX, ALIGNED_PX), dtype=np.uint8)
    left, right = eye_centres(landmarks)
    unit = float(np.linalg.norm(right - left))
    above = landmarks[17:27] - (0.0, 0.75 * unit)
    _fill(mask, np.concatenate([landmarks[:17], above]), 1)
    brow_up = np.array([0.0, 0.3 * unit])
    for part, rim in (
        (landmarks[36:42], 0.14),
        (landmarks[42:48], 0.14),
        (landmarks[48:60], 0.2),
        (np.concatenate([landmarks[17:22], landmarks[17:22] - brow_up]), 0.12),
        (np.concatenate([landmarks[22:27], landmarks[22:27] - brow_up]), 0.12),
    ):
        hole = np.zeros_like(mask)
        _fill(hole, part, 1)
        reach = 2 * max(1, round(rim * unit)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        mask[cv2.dilate(hole, kernel) > 0] = 0
    return mask


class _Coarse:
    """Weighted Lucas-Kanade of the whole rigid face in a small picture, with gain and offset."""

    def __init__(self, picture: Picture, mask: UInt8[np.ndarray, "144 144"]) -> None:
        self._factor = COARSE_PX / ALIGNED_PX
        small = self._small(picture)
        inside = cv2.resize(
            mask.astype(np.float32), (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA
        )
        self._rows, self._columns = np.nonzero(inside > 0.5)
        self._values = small[self._rows, self._columns].astype(np.float64)
        x = cv2.Scharr(small, cv2.CV_32F, 1, 0)[self._rows, self._columns] / 32
        y = cv2.Scharr(small, cv2.CV_32F, 0, 1)[self._rows, self._columns] / 32
        right = self._columns - (COARSE_PX - 1) / 2
        down = self._rows - (COARSE_PX - 1) / 2
        ones = np.ones_like(self._values)
        columns = [x * right + y * down, y * right - x * down, x, y, self._values, ones]
        self._jacobian = np.stack(columns, axis=1).astype(np.float64)

    def _small(self, picture: Picture) -> Float32[np.ndarray, "48 48"]:
        return cv2.resize(picture, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA)

    def register(
        self, view: FrameView, start: Float64[np.ndarray, "2 3"]
    ) -> Float64[np.ndarray, "2 3"]:
        transform = start
        jacobian = self._jacobian
        if len(jacobian) <= jacobian.shape[1]:
            return start
        for _ in range(STEPS):
            change = self._seen(view, transform) - self._values
            deviation = max(1.4826 * float(np.median(np.abs(change - np.median(change)))), 1.0)
            distance = (change - np.median(change)) / (4.685 * deviation)
            weights = np.where(np.abs(distance) < 1, (1 - distance**2) ** 2, 0.0)
            weighted = jacobian * weights[:, None]
            step = np.linalg.lstsq(weighted.T @ jacobian, weighted.T @ change, rcond=None)[0][:4]
            step[2:] /= self._factor
            transform = compose(_step_transform(step), transform)
            if _largest_motion(step) < 0.1:
                break
        return transform

    def likeness(self, view: FrameView, transform: Float64[np.ndarray, "2 3"]) -> float:
        seen = self._seen(view, transform)
        return _correlation(seen, self._values, np.ones_like(seen))

    def _seen(
        self, view: FrameView, transform: Float64[np.ndarray, "2 3"]
    ) -> Float64[np.ndarray, " points"]:
        small = self._small(_smooth(view.at(transform)))
        return small[self._rows, self._columns].astype(np.float64)


class _Blocks:
    """Motions of the blocks of a picture, and the similarity that most of them share.

    With a block's mean taken out of everything and its gain eliminated, its motion `d` solves
    `I d = r`, where `I` is the information that the block has about motion: small across edges
    only, nothing on plain skin. The fit weighs each block by `I`.
    """

    def __init__(self, picture: Picture, mask: Float32[np.ndarray, "144 144"]) -> None:
        self._picture, self._mask = picture, mask
        self._slope_x = cv2.Scharr(picture, cv2.CV_32F, 1, 0) / 32
        self._slope_y = cv2.Scharr(picture, cv2.CV_32F, 0, 1) / 32
        axis = np.arange(BLOCK_PX // 2, ALIGNED_PX - BLOCK_PX // 2 + 1, BLOCK_STEP_PX)
        self._places = np.ix_(axis, axis)
        share = self._means(mask)
        self._kept = share > 0.5
        self._share = np.maximum(share, 1e-6)
        fields = (self._slope_x, self._slope_y, picture)
        means = [self._masked(field) for field in fields]
        self._fields = tuple(zip(fields, means, strict=True))
        moments = np.stack(
            [
                np.stack([self._masked(a * b) - am * bm for b, bm in self._fields], axis=-1)
                for a, am in self._fields
            ],
            axis=-2,
        )[self._kept]
        contrast = np.maximum(moments[:, 2:, 2:], 1e-3)
        self._gain_share = moments[:, :2, 2] / contrast[:, :, 0]
        self._information = moments[:, :2, :2] - moments[:, :2, 2:] * moments[:, 2:, :2] / contrast
        # The mean of an even block lies half a pixel before its anchor.
        self.centres = np.stack(np.meshgrid(axis, axis), axis=-1)[self._kept] - 0.5
        self._jacobian = _similarity_jacobian(self.centres - CENTRE)
        carried = np.einsum("nij,njk->nik", self._information, self._jacobian)
        normal = np.einsum("nik,nil->nkl", self._jacobian, carried)
        self._normal = normal.reshape(len(normal), -1)
        self._sharpness = np.trace(self._information, axis1=1, axis2=2) / 2 + 1e-9
        # A hundredth of a grey level squared a pixel: what has less slope says nothing.
        self._inverse = np.linalg.inv(self._information + 1e-2 * np.eye(2))

    def _means(self, field: Float32[np.ndarray, "144 144"]) -> Float64[np.ndarray, "rows columns"]:
        size = (BLOCK_PX, BLOCK_PX)
        means = cv2.boxFilter(field, cv2.CV_32F, size, borderType=cv2.BORDER_CONSTANT)
        return means[self._places].astype(np.float64)

    def _masked(self, field: Float32[np.ndarray, "144 144"]) -> Float64[np.ndarray, "rows columns"]:
        return self._means(field * self._mask) / self._share

    def fit(
        self, seen: Picture, weights: Float64[np.ndarray, " blocks"]
    ) -> tuple[
        Float64[np.ndarray, " 4"], Float64[np.ndarray, " blocks"], Float64[np.ndarray, " blocks"]
    ]:
        """Similarity step, weights of the blocks, and how far each is from the fit, in pixels."""
        change = seen - self._picture
        mean = self._masked(change)
        moved = np.stack(
            [
                (self._masked(change * field) - mean * field_mean)[self._kept]
                for field, field_mean in self._fields
            ],
            axis=-1,
        )
        right_side = moved[:, :2] - self._gain_share * moved[:, 2:]
        motion = np.einsum("nij,nj->ni", self._inverse, right_side)
        target = np.einsum("nik,ni->nk", self._jacobian, right_side)
        step = np.zeros(4)
        distance = np.zeros(len(motion))
        for _ in range(WEIGHINGS):
            normal = (weights @ self._normal).reshape(4, 4) + 1e-6 * np.eye(4)
            step = np.linalg.solve(normal, weights @ target)
            off = motion - self._jacobian @ step
            squared = np.einsum("ni,nij,nj->n", off, self._information, off) / self._sharpness
            distance = np.sqrt(np.maximum(squared, 0.0))
            deviation = float(np.median(distance)) / 1.1774  # of a Rayleigh distribution
            relative = distance / (TUKEY * max(deviation, LEAST_DEVIATION_PX))
            weights = np.where(relative < 1, (1 - relative**2) ** 2, 0.0)
        return step, weights, distance


def _similarity_jacobian(
    offsets: Float64[np.ndarray, "points 2"],
) -> Float64[np.ndarray, "points 2 4"]:
    """Of motion by (scale, turn, right, down) about the centre."""
    x, y = offsets.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.stack([x, -y, one, zero], axis=-1), np.stack([y, x, zero, one], axis=-1)
    return np.stack(rows, axis=1)


def _step_transform(step: Float64[np.ndarray, " 4"]) -> Float64[np.ndarray, "2 3"]:
    scale, turn = np.hypot(1.0 + step[0], step[1]), np.arctan2(step[1], 1.0 + step[0])
    centre = np.full(2, CENTRE)
    return similarity(
        angle=float(turn), scale=float(scale), centre=centre, target=centre + step[2:]
    )


def _largest_motion(step: Float64[np.ndarray, " 4"]) -> float:
    return float(np.abs(step[:2]).max() * CENTRE + np.abs(step[2:]).max())


def _smooth(picture: Picture) -> Picture:
    return cv2.GaussianBlur(picture, (0, 0), SMOOTHING_PX)


def _fill(mask: UInt8[np.ndarray, "144 144"], points: Float[np.ndarray, "n 2"], value: int) -> None:
    hull = cv2.convexHull(points.astype(np.float32))
    cv2.fillConvexPoly(mask, np.round(hull).astype(np.int32), value)


def _correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> float:
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    first = one - float((weights * one).sum()) / total
    second = other - float((weights * other).sum()) / total
    scale = float(np.sqrt((weights * first**2).sum() * (weights * second**2).sum()))
    return float((weights * first * second).sum()) / scale if scale > 0 else 0.0
