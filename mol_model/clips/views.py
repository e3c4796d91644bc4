"""Joint augmentation: frames, flow and landmarks move together, batched, on the device."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from mol_model.clips.batch import ClipBatch

MIRRORED = torch.tensor(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # bridge of the nose
        *range(35, 30, -1),  # nostrils
        *(45, 44, 43, 42, 47, 46),  # eye
        *(39, 38, 37, 36, 41, 40),  # eye
        *range(54, 47, -1),  # outer lip, above
        *range(59, 54, -1),  # outer lip, below
        *range(64, 59, -1),  # inner lip, above
        *range(67, 64, -1),  # inner lip, below
    ]
)
"""Point `i` of a mirrored face is point `MIRRORED[i]` of the face, mirrored."""


@dataclass(frozen=True)
class View:
    """What is drawn by chance for each clip of a batch, applied to all its parts."""

    top: Tensor
    """int64 `[B]`, first row of the crop."""
    left: Tensor
    """int64 `[B]`, first column of the crop."""
    flip: Tensor
    """bool `[B]`."""
    gain: Tensor
    """float32 `[B]`, factor on grey values."""
    shift: Tensor
    """float32 `[B]`, added to grey values, in units of the standard deviation."""

    def of(self, part: slice) -> "View":
        """The view of a part of the batch."""
        return View(
            self.top[part], self.left[part], self.flip[part], self.gain[part], self.shift[part]
        )


@dataclass(frozen=True)
class ClipInputs:
    """A batch as the network and the losses take it."""

    frames: Tensor
    """Normalised `[B, t, P, P]`."""
    flow: Tensor
    """`[B, t-1, 2, P, P]`, pixels."""
    landmarks: Tensor
    """`[B, t-1, 68, 2]` of the last t-1 frames, pixels of the crop."""
    labels: Tensor


@dataclass(frozen=True)
class Normalisation:
    """Grey statistics of the training subjects: `(x - mean) / std` is what a network sees."""

    mean: float
    std: float


def release_normalisation(frames: Iterable[Tensor], crop_px: int) -> Normalisation:
    """What the authors' released code does: minus the mean, over the largest value that is left.

    It takes both from one file, which holds all clips of a person, cropped.

    Args:
        frames: Grey values of all clips of a person or of a film, in parts, `[..., 144, 144]`.
        crop_px: Side of the crop that the network sees.

    Source:
        Decision record 0011.
    """
    total = count = greatest = 0.0
    for part in frames:
        margin = (part.shape[-1] - crop_px) // 2
        seen = part[..., margin : margin + crop_px, margin : margin + crop_px].double()
        total += float(seen.sum())
        count += seen.numel()
        greatest = max(greatest, float(seen.max()))
    mean = total / count
    return Normalisation(mean, max(greatest - mean, 1.0))


def centre_view(batch: int, stored_px: int, crop_px: int, device: torch.device) -> View:
    """The view of the test: centre crop, nothing else."""
    middle = torch.full((batch,), (stored_px - crop_px) // 2, device=device)
    ones = torch.ones(batch, device=device)
    return View(middle, middle, torch.zeros(batch, dtype=torch.bool, device=device), ones, ones * 0)


def random_view(
    batch: int,
    stored_px: int,
    crop_px: int,
    device: torch.device,
    generator: torch.Generator,
    *,
    random_crop: bool,
    flip: bool,
    brightness: float,
) -> View:
    """Draw a view for each clip; the generator lives on the CPU, so any device draws alike."""
    view = centre_view(batch, stored_px, crop_px, torch.device("cpu"))
    top, left, flipped = view.top, view.left, view.flip
    if random_crop:
        offsets = torch.randint(0, stored_px - crop_px + 1, (2, batch), generator=generator)
        top, left = offsets[0], offsets[1]
    if flip:
        flipped = torch.rand(batch, generator=generator) < 0.5
    change = (2 * torch.rand(2, batch, generator=generator) - 1) * brightness
    return View(*(part.to(device) for part in (top, left, flipped, 1 + change[0], change[1])))


def apply_view(
    batch: ClipBatch, view: View, normalisation: Normalisation, crop_px: int
) -> ClipInputs:
    """Crop, flip and normalise a batch so that its parts stay consistent.

    A crop shifts the landmarks; a flip mirrors frames and flow, negates `u`, mirrors
    the landmarks and permutes the 68 points.

    Args:
        batch: Clips as stored.
        view: What to do, per clip.
        normalisation: Of the training subjects.
        crop_px: Side of the crop.
    """
    count, device = len(batch.frames), batch.frames.device
    span = torch.arange(crop_px, device=device)
    rows = view.top[:, None] + span  # [B, P]
    forward = view.left[:, None] + span
    columns = torch.where(view.flip[:, None], forward.flip(1), forward)  # [B, P]
    clip = torch.arange(count, device=device)[:, None, None]
    # Advanced indices first, so the kept axes follow: [B, P, P, ...] -> [B, ..., P, P].
    frames = batch.frames.movedim((2, 3), (1, 2))[clip, rows[:, :, None], columns[:, None, :]]
    flow = batch.flow.movedim((3, 4), (1, 2))[clip, rows[:, :, None], columns[:, None, :]]
    frames = frames.movedim((1, 2), (2, 3)).float()
    flow = flow.movedim((1, 2), (3, 4)).float()
    sign = torch.where(view.flip, -1.0, 1.0)
    flow = torch.stack([flow[:, :, 0] * sign[:, None, None, None], flow[:, :, 1]], dim=2)

    corner = torch.stack([view.left, view.top], dim=-1).float()  # (x, y)
    landmarks = batch.landmarks[:, 1:] - corner[:, None, None, :]
    mirrored = landmarks[:, :, MIRRORED.to(device)]
    mirrored = torch.stack([crop_px - 1 - mirrored[..., 0], mirrored[..., 1]], dim=-1)
    landmarks = torch.where(view.flip[:, None, None, None], mirrored, landmarks)

    frames = (frames - normalisation.mean) / normalisation.std
    frames = frames * view.gain[:, None, None, None] + view.shift[:, None, None, None]
    return ClipInputs(frames=frames, flow=flow, landmarks=landmarks, labels=batch.labels)
