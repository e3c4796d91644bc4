"""Local and global blocks of FDP's frame network, in the frame of Next-ViT.

Parts that the release has too bear its names, so that its state dict can be read.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Unit(nn.Module):
    """Convolution 3x3 without bias, batch norm, ReLU.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: Of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Map `[n, inputs, H, W]` to `[n, outputs, H/stride, W/stride]`."""
        return functional.relu(self.norm(self.conv(x)))


class PatchEmbedding(nn.Module):
    """Another width, and half the size by means of 2x2 where a stage begins.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        halve: Whether the size is halved.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Map `[n, inputs, H, W]` to `[n, outputs, H, W]` or half that size."""
        if self.halve:
            x = functional.avg_pool2d(x, 2)
        return self.norm(self.conv(x))


def embedding(inputs: int, outputs: int, *, halve: bool) -> nn.Module:
    """A patch embedding, or nothing where width and size stay."""
    if inputs == outputs and not halve:
        return nn.Identity()
    return PatchEmbedding(inputs, outputs, halve=halve)


class DropPath(nn.Module):
    """Leaves out what a block adds, for some clips of a batch in training (stochastic depth).

    Args:
        rate: Share that is left out; the rest is scaled up.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to the same, or zeros."""
        if not self.training or not self.rate:
            return x
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class Mlp(nn.Module):
    """Two pointwise convolutions with a ReLU between them.

    Args:
        channels: C.
        hidden: Width between them.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to the same."""
        return self.conv2(functional.relu(self.conv1(x)))


class MultiHeadConvolution(nn.Module):
    """A convolution, batch norm and ReLU for each head by itself, then a pointwise one over all.

    Args:
        channels: C.
        head_width: Channels of a head; divides C.

    Source:
        FDP, local block (P).
    """

    def __init__(self, channels: int, head_width: int) -> None:
        super().__init__()
        self.heads = nn.Conv2d(
            channels, channels, 3, padding=1, groups=channels // head_width, bias=False
        )
        self.norm = nn.BatchNorm2d(channels)
        self.join = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to the same."""
        return self.join(functional.relu(self.norm(self.heads(x))))


class ReleaseConvolution(nn.Module):
    """What the release has in its place: one convolution over all channels, nothing after it.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.group_conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to the same."""
        return self.group_conv3x3(x)


class LocalBlock(nn.Module):
    """Patch embedding; convolution and hidden layer, each added to its input.

    Args:
        inputs: Channels that come in.
        width: Channels that go out.
        halve: Whether the size is halved first.
        convolution: Maps `[n, width, H, W]` to the same.
        hidden: Width of the hidden layer over `width`.
        drop_path: Share of clips without the block.

    Source:
        FDP, local block (P); widths R.
    """

    def __init__(
        self,
        *,
        inputs: int,
        width: int,
        halve: bool,
        convolution: nn.Module,
        hidden: int,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.patch_embed = embedding(inputs, width, halve=halve)
        self.mhca = convolution
        self.norm = nn.BatchNorm2d(width)
        self.mlp = Mlp(width, width * hidden)
        self.drop = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Map `[n, inputs, H, W]` to `[n, width, H, W]` or half that size."""
        x = self.patch_embed(x)
        x = x + self.drop(self.mhca(x))
        return x + self.drop(self.mlp(self.norm(x)))


class Attention(nn.Module):
    """Every position looks at means of positions that follow each other, row by row.

    Args:
        channels: C.
        head_width: Channels of a head; divides C.
        reduction: r; a key is the mean of r^2 positions.

    Source:
        FDP, global block (P); as the release writes it, which never builds it.
    """

    def __init__(self, *, channels: int, head_width: int, reduction: int) -> None:
        super().__init__()
        self.heads = channels // head_width
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.join = nn.Linear(channels, channels)
        self.shared = reduction**2
        self.norm = nn.BatchNorm1d(channels) if reduction > 1 else nn.Identity()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map `[n, C, H, W]` to the same."""
        tokens = x.flatten(2)  # [n, C, HW]
        seen = self.norm(functional.avg_pool1d(tokens, self.shared)) if self.shared > 1 else tokens
        query, key, value = (
            layer(some.transpose(1, 2)).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, some in ((self.query, tokens), (self.key, seen), (self.value, seen))
        )  # [n, heads, positions, head width]
        mixed = functional.scaled_dot_product_attention(query, key, value)
        joined = self.join(mixed.transpose(1, 2).flatten(2))  # [n, HW, C]
        return joined.transpose(1, 2).unflatten(2, x.shape[2:])


class GlobalBlock(nn.Module):
    """Attention over a part of the channels, convolution over the rest, a hidden layer over all.

    Args:
        inputs: Channels that come in.
        width: Channels that go out.
        attended: Those of them that attention works on.
        halve: Whether the size is halved first.
        head_width: Channels of a head, of attention and of convolution.
        reduction: See `Attention`.
        hidden: Width of the hidden layer over `width`.
        drop_path: Share of clips without the block.

    Source:
        FDP, global block (P: pointwise convolution and attention); the rest as the release writes
        it and never builds it, with the local block's convolution (A: decision 0026).
    """

    def __init__(
        self,
        *,
        inputs: int,
        width: int,
        attended: int,
        halve: bool,
        head_width: int,
        reduction: int,
        hidden: int,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.patch_embed = embedding(inputs, attended, halve=halve)
        self.norm1 = nn.BatchNorm2d(attended)
        self.attention = Attention(channels=attended, head_width=head_width, reduction=reduction)
        self.projection = embedding(attended, width - attended, halve=False)
        self.mhca = MultiHeadConvolution(width - attended, head_width)
        self.norm2 = nn.BatchNorm2d(width)
        self.mlp = Mlp(width, width * hidden)
        self.drop = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Map `[n, inputs, H, W]` to `[n, width, H, W]` or half that size."""
        x = self.patch_embed(x)
        x = x + self.drop(self.attention(self.norm1(x)))
        y = self.projection(x)
        y = y + self.drop(self.mhca(y))
        x = torch.cat([x, y], dim=1)
        return x + self.drop(self.mlp(self.norm2(x)))
