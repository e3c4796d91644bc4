"""Micro-expression recognition from the sequence of pair features."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mol_model.config.mol import ExpressionInput


def sequence_length(pairs: int, how: ExpressionInput) -> int:
    """Depth of the sequence that reaches the head for `pairs` frame pairs."""
    return 2 * pairs if how in ("concatenate", "all") else pairs


def arrange(
    first: Float[Tensor, "b pairs c h w"],
    second: Float[Tensor, "b pairs c h w"],
    how: ExpressionInput,
) -> Float[Tensor, "b c h w depth"]:
    """Sequence of pair features for the head, `[B, C, H, W, depth]`.

    Args:
        first: Features of the first frame of each pair, `[B, pairs, C, H, W]`.
        second: Of the second frame, likewise.
        how: The row of Table XII; `concatenate` is first_1, second_1, first_2, ...;
            `all` is every first, then every second (decision 0007).

    Source:
        MOL Sec. 3.3.1 and Table XII.
    """
    match how:
        case "concatenate":
            sequence = torch.stack([first, second], dim=2).flatten(1, 2)  # [B, 2 pairs, ...]
        case "all":
            sequence = torch.cat([first, second], dim=1)
        case "first":
            sequence = first
        case "second":
            sequence = second
        case "add":
            sequence = first + second
        case "subtract":
            sequence = second - first
    return sequence.permute(0, 2, 3, 4, 1)  # [B, C, H, W, depth]


DIFFERENCE_GAIN = 20.0
"""Differences between frames are a small part of the features: bring them to their size."""


def start_from_differences(weight: Float[Tensor, "out c h w depth"]) -> None:
    """Initialise a 3-D convolution so that it starts blind to what does not move.

    Slices of the sequence alternate between first and second frames of pairs, which
    come from separate blocks. The kernel's mean over each of the two is taken off: a
    clip without motion gives no response, whoever it shows (decision 0008). Training is
    free to leave this.

    Args:
        weight: `[out, C, height, width, depth]`, changed in place.
    """
    with torch.no_grad():
        for parity in (0, 1):
            slots = weight[..., parity::2]
            if slots.shape[-1] > 1:
                slots -= slots.mean(dim=-1, keepdim=True)
                slots *= DIFFERENCE_GAIN


class ExpressionHead(nn.Module):
    """3-D convolution, 3-D max-pooling, two fully-connected layers.

    Args:
        channels: C.
        height: H.
        width: W.
        depth: Length of the sequence; kernel and pooling shrink where it is short.
        classes: Expression classes.
        conv_channels: Of the 3-D convolution.
        hidden: Of the classifier.
        dropout: Before both fully-connected layers.

    Source:
        MOL Sec. 3.3.1, Fig. 2; numbers from the release.
    """

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        depth: int,
        classes: int,
        conv_channels: int,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        kernel = min(5, depth)
        self.conv = nn.Conv3d(channels, conv_channels, (2, 2, kernel), stride=(2, 2, 1))
        start_from_differences(self.conv.weight)
        left = depth - kernel + 1
        self.pool = nn.MaxPool3d((2, 2, 2 if left > 1 else 1))
        size = (height // 4) * (width // 4) * (left // 2 if left > 1 else 1)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(conv_channels * size, hidden)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, sequence: Float[Tensor, "b c h w depth"]) -> Float[Tensor, "b classes"]:
        """Map `[B, C, H, W, depth]` to logits `[B, classes]`."""
        x = self.pool(self.conv(sequence))
        x = self.dropout(x.flatten(1))
        x = functional.relu(self.hidden(x))
        return self.classifier(self.dropout(x))
