"""Joint augmentation: frames, flow and landmarks move together, batched, on the device."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from mol_model.clips.batch import ClipBatch
from mol_model.networks.dynamic_image import dynamic_image
from mol_model.networks.interface import ViewName
from mol_pipeline.contract.shard_layout import ALIGNED_PX

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


ARRAYS_OF_VIEW: dict[ViewName, tuple[str, ...]] = {
    "frames": ("frames",),
    "flow": ("flow",),
    "landmarks": ("landmarks",),
    "key-frames": ("key_frames",),
    "key-landmarks": ("key_landmarks",),
    "key-flow": ("key_flow",),
    "dynamic-image": ("frames",),
}
"""What a view is made of, by its name in a shard."""


def arrays_of(views: Iterable[ViewName]) -> tuple[str, ...]:
    """Arrays of a shard that some views are made of, each once."""
    return tuple(dict.fromkeys(name for view in views for name in ARRAYS_OF_VIEW[view]))


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
class Normalisation:
    """Grey statistics of the training subjects: `(x - mean) / std` is what a network sees."""

    mean: float
    std: float


AS_STORED = Normalisation(0.0, 1.0)
"""Grey values stay from 0 to 255."""


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


@dataclass(frozen=True)
class _Window:
    """What a view makes of pictures, flow and points, clip by clip."""

    view: View
    crop_px: int
    rows: Tensor
    """`[B, P]`"""
    columns: Tensor
    """`[B, P]`, from right to left where a clip is flipped."""

    @classmethod
    def of(cls, view: View, crop_px: int) -> "_Window":
        span = torch.arange(crop_px, device=view.top.device)
        forward = view.left[:, None] + span
        columns = torch.where(view.flip[:, None], forward.flip(1), forward)
        return cls(view, crop_px, view.top[:, None] + span, columns)

    def _cut(self, pictures: Tensor) -> Tensor:
        """`[B, ..., S, S]` to `[B, ..., P, P]`, float32."""
        clip = torch.arange(len(pictures), device=pictures.device)[:, None, None]
        # Advanced indices first, so the kept axes follow: [B, P, P, ...] -> [B, ..., P, P].
        first = pictures.movedim((-2, -1), (1, 2))
        cut = first[clip, self.rows[:, :, None], self.columns[:, None, :]]
        return cut.movedim((1, 2), (-2, -1)).float()

    def grey(self, pictures: Tensor, normalisation: Normalisation) -> Tensor:
        """Grey pictures `[B, n, S, S]`, normalised, of changed brightness."""
        grey = (self._cut(pictures) - normalisation.mean) / normalisation.std
        return grey * self.view.gain[:, None, None, None] + self.view.shift[:, None, None, None]

    def flow(self, fields: Tensor) -> Tensor:
        """Flow `[B, n, 2, S, S]`."""
        cut = self._cut(fields)
        sign = torch.where(self.view.flip, -1.0, 1.0)
        return torch.stack([cut[:, :, 0] * sign[:, None, None, None], cut[:, :, 1]], dim=2)

    def points(self, landmarks: Tensor) -> Tensor:
        """Landmarks `[B, n, 68, 2]`."""
        corner = torch.stack([self.view.left, self.view.top], dim=-1).float()  # (x, y)
        moved = landmarks - corner[:, None, None, :]
        mirrored = moved[:, :, MIRRORED.to(moved.device)]
        mirrored = torch.stack([self.crop_px - 1 - mirrored[..., 0], mirrored[..., 1]], dim=-1)
        return torch.where(self.view.flip[:, None, None, None], mirrored, moved)


class ClipInputs:
    """A batch as networks and losses take it: its views by name (`networks.interface.ViewName`)."""

    def __init__(self, batch: ClipBatch, window: _Window, normalisation: Normalisation) -> None:
        self.labels = batch.labels
        self._batch, self._window, self._normalisation = batch, window, normalisation
        self._made: dict[str, Tensor] = {}

    def __contains__(self, name: ViewName) -> bool:
        return all(array in self._batch for array in ARRAYS_OF_VIEW[name])

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Tensor:
        batch, window = self._batch, self._window
        match name:
            case "frames":
                return window.grey(batch["frames"], self._normalisation)
            case "flow":
                return window.flow(batch["flow"])
            case "landmarks":
                return window.points(batch["landmarks"][:, 1:])
            case "key-frames":
                return window.grey(batch["key_frames"], self._normalisation)
            case "key-landmarks":
                return window.points(batch["key_landmarks"])
            case "key-flow":
                return window.flow(batch["key_flow"])
            case "dynamic-image":
                return dynamic_image(self["frames"])
        raise KeyError(name)


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

    Returns:
        Every view for which the batch has the arrays, each made when it is asked for.
    """
    return ClipInputs(batch, _Window.of(view, crop_px), normalisation)


def centre_inputs(batch: ClipBatch, normalisation: Normalisation, crop_px: int) -> ClipInputs:
    """Centre crop of a batch."""
    view = centre_view(len(batch), ALIGNED_PX, crop_px, batch.device)
    return apply_view(batch, view, normalisation, crop_px)
