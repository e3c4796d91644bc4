"""The seam between a network and everything else: what it takes, what it gives, how it is built.

A network is any `torch.nn.Module`. Its definition names the views of a clip that `forward` takes,
in their order; `forward` returns logits `[B, classes]`, or `Estimates`. Folds, selection, seeds,
resume, reports and prediction know a network by its definition alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from mol_model.config.network import NetworkSettings

ViewName = Literal[
    "frames",
    "flow",
    "landmarks",
    "key-frames",
    "key-landmarks",
    "key-flow",
    "dynamic-image",
]
"""What may be seen of a batch of clips, of side P (`crop_px`), u to the right, v down:

    frames          [B, t, P, P]        grey, normalised by the training subjects
    flow            [B, t-1, 2, P, P]   pixels, between neighbouring frames
    landmarks       [B, t-1, 68, 2]     (x, y), pixels of the crop, of the last t-1 frames
    key-frames      [B, 3, P, P]        grey, normalised: onset, apex, offset
    key-landmarks   [B, 3, 68, 2]       (x, y), pixels of the crop
    key-flow        [B, 2, 2, P, P]     pixels: onset to apex, apex to offset
    dynamic-image   [B, 1, P, P]        the frames pooled by rank, in [-1, 1]
"""


@runtime_checkable
class Views(Protocol):
    """Views of a batch by name: those that a network takes, and those that its loss needs."""

    def __getitem__(self, name: str, /) -> Tensor:
        """One view; see `ViewName`."""
        ...


class Estimates(NamedTuple):
    """What a network says of a batch; None for what it does not estimate."""

    expression: Float[Tensor, "b classes"] | None = None
    """Logits `[B, classes]`; of action units one for each."""
    flow: Float[Tensor, "b pairs 2 p p"] | None = None
    """`[B, t-1, 2, P, P]` (or only the pairs asked for), `(u right, v down)`, pixels."""
    landmarks: Float[Tensor, "b t-1 68 2"] | None = None
    """`[B, t-1, 68, 2]`, `(x, y)` in pixels of the crop, of the last t-1 frames."""
    dynamic_image: Float[Tensor, "b 1 p p"] | None = None
    """`[B, 1, S, S]`, in [-1, 1], of any side (`mol_model.networks.dynamic_image.at_size`)."""
    rank_scores: Float[Tensor, "b t"] | None = None
    """`[B, t]`, rising with time, for the network's own loss."""


@dataclass(frozen=True)
class LossRequest:
    """What a network's loss is made of beside its estimates."""

    views: Views
    """Those that the definition names as views or targets."""
    labels: Tensor
    """int64 `[B]`, or of action units `[B, units]`: 1, 0, and -1 where unknown."""
    weights: Any
    """`mol_model.config.settings.LossConfig`."""
    class_weights: Tensor | None = None
    """`[classes]`, or what a unit that is shown weighs `[units]`."""
    weight_of_part: float = 1.0
    """Where processes share a batch: class weight of this part over an even share of the whole."""
    flow_pairs: Sequence[int] | None = None
    """Pairs whose flow is estimated; None for all."""
    settings: NetworkSettings | None = None
    """Of the network, for weights that are its own; `BuiltNetwork.loss` fills them in."""


@dataclass(frozen=True)
class TrainingPart:
    """What a network may know of its training subjects before the first step."""

    mean_landmarks: Tensor
    """`[68, 2]`, pixels of the crop."""
    key_flow_scale: Tensor | None = None
    """`[3]`: standard deviation of u, v and strain of the flow from onset to apex."""


Loss = Callable[[Estimates, LossRequest], dict[str, Tensor]]
"""Gives `total`, which is minimised, then its named parts, each a scalar."""


@dataclass(frozen=True)
class Network:
    """A network as the rest of the project knows it.

    A module may have a method `begin(part: TrainingPart)`, called once, before the first step of
    a training that starts from drawn weights. It may have `fit(views, labels, seed)` with the
    views of all training clips as lists of batches: then that is its training, in place of the
    optimiser's steps, and what it learned must lie in its buffers.
    """

    name: str
    source: str
    """Who published it, where; and what we do differently."""
    views: tuple[ViewName, ...]
    """What `forward` takes, in this order."""
    settings: type[NetworkSettings]
    """A frozen model of its settings, with defaults."""
    build: Callable[[Any], nn.Module]
    """From settings to a module."""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    """Settings of a run by name, as a document laid over the defaults; the first is taken if none
    is named."""
    targets: tuple[ViewName, ...] = ()
    """Views that its loss needs beside those that it takes."""
    loss: Loss | None = None
    """None: cross entropy of the expression alone, `mol_model.networks.losses.expression_alone`."""
    takes_flow_pairs: bool = False
    """Whether `forward` has a last argument `flow_pairs`, as MOL's."""
    has_unused: Callable[[Any], bool] = lambda settings: False
    """From settings to whether some parameters have no part in the loss."""

    @property
    def reads(self) -> tuple[ViewName, ...]:
        """All views that training and tests need of a clip."""
        return (*self.views, *self.targets)


def as_estimates(output: Tensor | Estimates) -> Estimates:
    """What a module returned; a tensor alone is the logits.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(output, Estimates):
        return output
    if isinstance(output, Tensor):
        return Estimates(expression=output)
    raise TypeError(
        f"a network returned {type(output).__name__}; forward gives logits or Estimates"
    )
