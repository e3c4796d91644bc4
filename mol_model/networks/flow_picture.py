"""One picture of a clip: horizontal flow, vertical flow and optical strain, from onset to apex.

What STSTNet, Off-ApexNet, SSSNet, RCN-A and HTNet look at. Published code makes it in three ways
that differ (sources in `docs/networks.md`); ours:

- flow of the aligned crop, in pixels, u to the right, v down;
- strain `sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2)` by central differences, at the full size. MEB's
  formula halves the wrong terms: it exchanges the derivatives along x and y;
- the mean of the pixels that fall into one (area), where a network's picture is smaller.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mol_model.config.network import NetworkSettings
from mol_model.networks.interface import TrainingPart, ViewName

PICTURE_VIEWS: tuple[ViewName, ...] = ("key-flow", "key-landmarks")
"""What a network that looks at the picture takes."""

NOSE_TIP = 30
"""Point of the 68 that hardly moves with an expression."""

Scaling = Literal["clip", "train"]


class FlowPictureSettings(NetworkSettings):
    """Settings that all networks share which look at the picture."""

    scaling: Scaling = "clip"
    """`clip`: each channel of each clip from its smallest to its largest value, to 0..1, as
    published; how strong a movement is, is lost. `train`: divided by the standard deviation in the
    training part; zero stays zero."""
    nose_centred: bool = False
    """Take the mean flow at the tip of the nose off: how the head moved is no expression. With
    `scaling: clip` it changes nothing: that takes any shift off."""
    nose_px: int = Field(default=9, ge=1, le=255)
    """Side of the square at the tip of the nose, pixels of the crop (A)."""


def optical_strain(flow: Float[Tensor, "*n 2 h w"]) -> Float[Tensor, "*n h w"]:
    """How much flow stretches and shears: `sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2)`.

    That is the Frobenius norm of the infinitesimal strain tensor. Derivatives are central
    differences, at the border one-sided.

    Args:
        flow: `[..., 2, H, W]`, `(u right, v down)`, pixels; H and W at least 2.

    Returns:
        `[..., H, W]`, at least 0, without a unit.

    Source:
        Shreve et al. 2011; the symmetric shear as in SoftNet.
    """
    u, v = flow.unbind(dim=-3)
    strain = _slope(u, -1).square_().add_(_slope(v, -2).square_())
    shear = _slope(u, -2).add_(_slope(v, -1))
    return strain.addcmul_(shear, shear, value=0.5).sqrt_()


def _slope(field: Tensor, axis: int) -> Tensor:
    """Derivative along an axis; `torch.gradient` takes twice as long."""
    values = field.movedim(axis, -1)
    out = torch.empty_like(values)
    out[..., 1:-1] = (values[..., 2:] - values[..., :-2]).mul_(0.5)
    out[..., 0] = values[..., 1] - values[..., 0]
    out[..., -1] = values[..., -1] - values[..., -2]
    return out.movedim(-1, axis)


def patch_means(
    fields: Float[Tensor, "b c h w"], points: Float[Tensor, "b points 2"], side: int
) -> Float[Tensor, "b points c"]:
    """Mean of fields in a square around each point; what lies outside the field does not count.

    Args:
        fields: `[B, C, H, W]`.
        points: `[B, points, 2]`, `(x, y)` in pixels; a point outside is taken at the border.
        side: Of the square, pixels; of an even one the upper left middle is at the point.

    Returns:
        `[B, points, C]`.
    """
    rows = _weights(points[..., 1], fields.shape[-2], side)  # [B, points, H]
    columns = _weights(points[..., 0], fields.shape[-1], side)
    with torch.autocast(fields.device.type, enabled=False):  # flow needs more than 8 bits
        return torch.einsum("bph,bchw,bpw->bpc", rows, fields, columns)


def _weights(positions: Tensor, length: int, side: int) -> Tensor:
    """One over the pixels of the square along an axis, `[B, points, length]`."""
    centre = positions.round().clamp(0, length - 1)[..., None]
    away = torch.arange(length, device=positions.device) - centre
    inside = ((away >= -((side - 1) // 2)) & (away <= side // 2)).to(positions.dtype)
    return inside / inside.sum(dim=-1, keepdim=True)


def min_max(pictures: Float[Tensor, "*n h w"]) -> Float[Tensor, "*n h w"]:
    """Each picture `[..., H, W]` from its smallest to its largest value: 0..1; flat ones are 0."""
    low = pictures.amin(dim=(-2, -1), keepdim=True)
    span = pictures.amax(dim=(-2, -1), keepdim=True) - low
    return torch.where(span > 0, (pictures - low) / torch.where(span > 0, span, 1), 0)


class FlowPicture(nn.Module):
    """Makes the picture of u, v and strain that a network looks at.

    Args:
        size: Side of the picture.
        scaling: See `FlowPictureSettings`.
        nose_centred: Likewise.
        nose_px: Likewise.
    """

    scale: Tensor

    def __init__(self, *, size: int, scaling: Scaling, nose_centred: bool, nose_px: int) -> None:
        super().__init__()
        self.size = size
        self.scaling = scaling
        self.nose_px = nose_px if nose_centred else None
        self.register_buffer("scale", torch.ones(3))

    @classmethod
    def of(cls, settings: FlowPictureSettings, size: int) -> "FlowPicture":
        """The picture that settings ask for, of a side."""
        return cls(
            size=size,
            scaling=settings.scaling,
            nose_centred=settings.nose_centred,
            nose_px=settings.nose_px,
        )

    def begin(self, part: TrainingPart) -> None:
        """Take the scale of the training part, for `scaling: train`.

        Raises:
            ValueError: If the part has none.
        """
        if self.scaling != "train":
            return
        if part.key_flow_scale is None:
            raise ValueError("scaling=train: the training part has no key_flow_scale")
        scale = part.key_flow_scale.to(self.scale)
        self.scale.copy_(torch.where(scale > 0, scale, 1))

    def forward(
        self, key_flow: Float[Tensor, "b 2 2 p p"], key_landmarks: Float[Tensor, "b 3 68 2"]
    ) -> Float[Tensor, "b 3 s s"]:
        """Map flow `[B, 2, 2, P, P]` and points `[B, 3, 68, 2]` to `[B, 3, size, size]`."""
        flow = key_flow[:, 0]  # onset to apex
        small = self._small(flow)
        if self.nose_px is not None:  # a shift: the same before and after the means of pixels
            nose = key_landmarks[:, 0, NOSE_TIP : NOSE_TIP + 1]  # where the flow begins
            small = small - patch_means(flow, nose, self.nose_px)[:, 0, :, None, None]
        picture = torch.cat([small, self._small(optical_strain(flow)[:, None])], dim=1)
        if self.scaling == "clip":
            return min_max(picture)
        return picture / self.scale[:, None, None]

    def _small(self, fields: Tensor) -> Tensor:
        return functional.interpolate(fields, size=(self.size, self.size), mode="area")


class OnFlowPicture(nn.Module):
    """A network of the picture as the seam has it: views in, logits out.

    Args:
        picture: Makes the picture.
        network: Maps `[B, 3, size, size]` to logits `[B, classes]`.
    """

    def __init__(self, picture: FlowPicture, network: nn.Module) -> None:
        super().__init__()
        self.picture = picture
        self.network = network

    def begin(self, part: TrainingPart) -> None:
        """See `FlowPicture.begin`."""
        self.picture.begin(part)

    def forward(
        self, key_flow: Float[Tensor, "b 2 2 p p"], key_landmarks: Float[Tensor, "b 3 68 2"]
    ) -> Float[Tensor, "b classes"]:
        """Map flow `[B, 2, 2, P, P]` and points `[B, 3, 68, 2]` to logits `[B, classes]`."""
        return self.network(self.picture(key_flow, key_landmarks))
