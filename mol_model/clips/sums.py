"""Sums over each clip, taken once, from which every fold's own statistics follow.

A fold adds up the clips of its training part, so nothing of a test subject is in them.
"""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mol_model.clips.source import ClipSource
from mol_model.clips.views import Normalisation
from mol_model.networks.flow_picture import optical_strain
from mol_pipeline.contract.stopping import refuse_if_asked

READ_AT_ONCE = 32
"""Clips in memory while their sums are taken."""


@dataclass(frozen=True)
class ClipStatistics:
    """One row for each clip of a `ShardSet`."""

    pixels: int
    """Of a clip."""
    grey_sum: NDArray[np.float64]
    """`[clips]`."""
    grey_squares: NDArray[np.float64]
    """`[clips]`, sum of the squares."""
    landmarks: NDArray[np.float32]
    """`[clips, 68, 2]`, mean over the frames but the first, pixels of the stored frame; zero where
    no landmarks are read."""
    key_flow_squares: NDArray[np.float64]
    """`[clips, 3]`, mean square of u, v and strain from onset to apex; zero where not read."""

    def normalisation(self, clips: Sequence[int]) -> Normalisation:
        """Mean and standard deviation of the grey values of some clips; (0, 1) of none read."""
        if not self.pixels:
            return Normalisation(mean=0.0, std=1.0)
        count = self.pixels * len(clips)
        mean = float(self.grey_sum[clips].sum()) / count
        variance = float(self.grey_squares[clips].sum()) / count - mean**2
        return Normalisation(mean=mean, std=max(math.sqrt(max(variance, 0.0)), 1.0))

    def mean_landmarks(self, clips: Sequence[int]) -> NDArray[np.float64]:
        """Mean landmarks `[68, 2]` of some clips, pixels of the stored frame."""
        return self.landmarks[clips].mean(axis=0, dtype=np.float64)

    def key_flow_scale(self, clips: Sequence[int]) -> NDArray[np.float64]:
        """Root mean square `[3]` of u, v and strain of some clips, from onset to apex."""
        return np.sqrt(self.key_flow_squares[clips].mean(axis=0))


def clip_statistics(source: ClipSource, clips: Sequence[int] | None = None) -> ClipStatistics:
    """Read clips once and sum them up, all if None; the rows of others stay zero.

    Raises:
        ManifestError: If a shard cannot be read.
    """
    count = len(source.data.video_of_clip)
    wanted = range(count) if clips is None else clips
    grey = np.zeros((2, count))
    landmarks = np.zeros((count, 68, 2), np.float32)
    key_flow = np.zeros((count, 3))
    plan = [wanted[first : first + READ_AT_ONCE] for first in range(0, len(wanted), READ_AT_ONCE)]
    pixels = 0
    with closing(source.batches(plan)) as batches:
        for numbers, batch in zip(plan, batches, strict=True):
            refuse_if_asked("the clips were still being read")
            rows = list(numbers)
            grey_name = "frames" if "frames" in batch else "key_frames"
            if grey_name in batch:
                values = batch[grey_name].flatten(1).long()  # whole numbers: alike on any device
                pixels = values.shape[1]
                grey[0, rows] = values.sum(dim=1).cpu().numpy()
                grey[1, rows] = values.square().sum(dim=1).cpu().numpy()
            points_name = "landmarks" if "landmarks" in batch else "key_landmarks"
            if points_name in batch:
                landmarks[rows] = batch[points_name][:, 1:].double().mean(dim=1).cpu().numpy()
            if "key_flow" in batch:
                flow = batch["key_flow"][:, 0].double()
                parts = torch.cat([flow, optical_strain(flow)[:, None]], dim=1)
                key_flow[rows] = parts.square().mean(dim=(-2, -1)).cpu().numpy()
    return ClipStatistics(pixels, grey[0], grey[1], landmarks, key_flow)
