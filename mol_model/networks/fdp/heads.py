"""What reads the representation: the expression module and the one that draws the dynamic image.

Names of parts are those of the release.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Of each level of VGG16 and so of the encoder; the decoder mirrors them (R)."""


class ExpressionModule(nn.Module):
    """A convolution over the representation, whose maps both tasks read, and a classifier.

    Args:
        side: Of the representation.
        depth: Of the representation.
        maps: Of the convolution.
        hidden: Width of the classifier's hidden layer.
        classes: Expression classes; 0 for no classifier.

    Source:
        FDP's release; with depth 1 for a pooled representation (A).
    """

    def __init__(self, *, side: int, depth: int, maps: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(1, maps, (3, 3, depth), padding=(1, 1, 0))
        if classes:
            self.fc1 = nn.Linear(maps * (side // 3) ** 2, hidden)
            self.fc2 = nn.Linear(hidden, classes)

    def forward(self, square: Float[Tensor, "b s s depth"]) -> Float[Tensor, "b maps s s"]:
        """Map a representation `[B, S, S, depth]` to maps `[B, maps, S, S]`."""
        return self.conv3d(square[:, None])[..., 0]

    def classify(self, maps: Float[Tensor, "b maps s s"]) -> Float[Tensor, "b classes"]:
        """Map maps `[B, maps, S, S]` to logits `[B, classes]`."""
        pooled = functional.max_pool2d(maps, 3).flatten(1)
        return self.fc2(functional.relu(self.fc1(pooled)))


class DynamicImageModule(nn.Module):
    """An encoder as VGG16's and its mirror, which puts maxima back where they were (SegNet).

    Args:
        inputs: Maps that come in.
        widths: Channels of the five levels.

    Source:
        FDP (P: encoder and decoder); SegNet as in the release.
    """

    def __init__(self, *, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder: list[list[str]] = []
        self.decoder: list[list[str]] = []
        incoming = [inputs, *widths]
        for level, count in enumerate(CONVOLUTIONS, start=1):
            channels = [incoming[level - 1]] + [incoming[level]] * count
            names = [f"{level}{place}" for place in range(1, count + 1)]
            for name, (before, after) in zip(names, pairwise(channels), strict=True):
                self._add(name, before, after)
            self.encoder.append(names)
        outgoing = [1, *widths]
        for level, count in reversed(list(enumerate(CONVOLUTIONS, start=1))):
            # The last of a level brings the width of the level above; of the first level, grey.
            below = outgoing[level - 1] if level > 1 else 1
            channels = [outgoing[level]] * count + [below]
            names = [f"{level}{place}d" for place in range(count, 0, -1)]
            for name, (before, after) in zip(names, pairwise(channels), strict=True):
                self._add(name, before, after, norm=name != "11d")
            self.decoder.append(names)

    def _add(self, name: str, inputs: int, outputs: int, *, norm: bool = True) -> None:
        self.add_module(f"conv{name}", nn.Conv2d(inputs, outputs, 3, padding=1))
        if norm:
            self.add_module(f"bn{name}", nn.BatchNorm2d(outputs))

    def _run(self, names: list[str], x: Tensor) -> Tensor:
        for name in names:
            x = self.get_submodule(f"conv{name}")(x)
            if name != "11d":
                x = functional.relu(self.get_submodule(f"bn{name}")(x))
        return x

    def forward(self, maps: Float[Tensor, "b maps s s"]) -> Float[Tensor, "b 1 s s"]:
        """Map `[B, maps, S, S]` to an image `[B, 1, S, S]`, from 0 to 1."""
        x, places = maps, []
        for names in self.encoder:
            x = self._run(names, x)
            x, place = functional.max_pool2d(x, 2, return_indices=True)
            places.append(place)
        for names in self.decoder:
            x = self._run(names, functional.max_unpool2d(x, places.pop(), [2, 2]))
        return torch.sigmoid(x)
