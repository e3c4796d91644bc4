"""FDP: one pass of a batch of clips; names of parts are those of the release."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from mol_model.networks.fdp.frames import FrameNetwork
from mol_model.networks.fdp.heads import DynamicImageModule, ExpressionModule
from mol_model.networks.fdp.pooling import (
    ClosedFormPooling,
    LearnedPooling,
    NoPooling,
    as_square,
)
from mol_model.networks.interface import Estimates


class FDP(nn.Module):
    """Fine-grained dynamic perception: expression and dynamic image from pooled frame features.

    Args:
        frame_rep: Frames to vectors.
        pooling: Vectors of a clip to those that are read, and scores or None.
        mer: Representation to maps and logits.
        dyimg_net: Maps to the dynamic image, or None.
        side: Of frames and of the representation.
        frames: t.
        classify: Whether the expression is recognised.

    Source:
        Shao et al. 2025, ACM TOMM, arXiv 2509.06015; numbers of the authors' release.
    """

    def __init__(
        self,
        *,
        frame_rep: FrameNetwork,
        pooling: NoPooling | ClosedFormPooling | LearnedPooling,
        mer: ExpressionModule,
        dyimg_net: DynamicImageModule | None,
        side: int,
        frames: int,
        classify: bool,
    ) -> None:
        super().__init__()
        self.frame_rep = frame_rep
        self.pooling = pooling
        self.mer = mer
        self.dyimg_net = dyimg_net
        self.side = side
        self.frames = frames
        self.classify = classify

    def forward(self, frames: Float[Tensor, "b t p p"]) -> Estimates:
        """Estimate expression and dynamic image of a batch.

        Args:
            frames: Normalised grey frames `[B, t, P, P]`; larger ones are made as small as the
                network's by area.

        Raises:
            ValueError: If clips have another number of frames.
        """
        batch, count = frames.shape[:2]
        if count != self.frames:
            raise ValueError(f"clips of {count} frames: this network takes {self.frames}")
        if frames.shape[-1] != self.side:
            frames = functional.interpolate(frames, size=(self.side, self.side), mode="area")
        vectors = self.frame_rep(frames.flatten(0, 1).unsqueeze(1)).unflatten(0, (batch, count))
        read, scores = self.pooling(vectors)
        maps = self.mer(as_square(read, self.side))
        logits = self.mer.classify(maps) if self.classify else None
        image = None if self.dyimg_net is None else 2 * self.dyimg_net(maps) - 1
        return Estimates(expression=logits, dynamic_image=image, rank_scores=scores)
