"""MOL: one pass of a batch of clips through stem, F5C and the three heads."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from mol_model.config.mol import ExpressionInput
from mol_model.networks.interface import Estimates, TrainingPart
from mol_model.networks.mol.blocks import Stem
from mol_model.networks.mol.heads import ExpressionHead, FlowHead, LandmarkHead
from mol_model.networks.mol.heads.expression import arrange


class MOL(nn.Module):
    """Joint estimation of micro-expression, optical flow and landmarks.

    The stem runs once per frame. A pair (k, k+1) takes the features of its first frame
    through one chain of F5C blocks and those of its second through another.

    Args:
        stem: Frames to features.
        first: F5C blocks of the first frame of a pair.
        second: F5C blocks of the second frame.
        expression: Head, or None.
        flow: Head, or None.
        landmarks: Head, or None.
        frames: t.
        crop_px: P, side of the input.
        expression_input: Row of Table XII.

    Source:
        MOL Sec. 3.1, Fig. 2.
    """

    def __init__(
        self,
        *,
        stem: Stem,
        first: nn.Module,
        second: nn.Module,
        expression: ExpressionHead | None,
        flow: FlowHead | None,
        landmarks: LandmarkHead | None,
        frames: int,
        crop_px: int,
        expression_input: ExpressionInput,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.first = first
        self.second = second
        self.expression = expression
        self.flow = flow
        self.landmarks = landmarks
        self.frames = frames
        self.crop_px = crop_px
        self.expression_input: ExpressionInput = expression_input

    def forward(
        self, clips: Float[Tensor, "..."], flow_pairs: Sequence[int] | None = None
    ) -> Estimates:
        """Estimate everything for a batch of clips.

        Args:
            clips: Normalised grey frames `[B, t, P, P]`.
            flow_pairs: Estimate the flow of these pairs only; of all if None.

        Raises:
            ValueError: If the clips have another length or size, or there is no such pair.
        """
        expected = (self.frames, self.crop_px, self.crop_px)
        if clips.dim() != 4 or tuple(clips.shape[1:]) != expected:
            raise ValueError(
                f"clips of shape {tuple(clips.shape)}: this network takes [batch, {self.frames}, "
                f"{self.crop_px}, {self.crop_px}]"
            )
        batch, pairs = len(clips), self.frames - 1
        if flow_pairs is not None and not (
            len(flow_pairs) and all(0 <= pair < pairs for pair in flow_pairs)
        ):
            raise ValueError(f"flow_pairs={list(flow_pairs)}: name pairs from 0 to {pairs - 1}")
        features = self.stem(clips.flatten(0, 1).unsqueeze(1))  # [B t, C, H, W]
        features = features.unflatten(0, (batch, self.frames))
        first = self.first(features[:, :-1].flatten(0, 1))  # [B(t-1), C, H, W]
        second = self.second(features[:, 1:].flatten(0, 1))
        landmarks = None
        if self.landmarks is not None:
            landmarks = self.landmarks(second).unflatten(0, (batch, pairs))
        first = first.unflatten(0, (batch, pairs))
        second = second.unflatten(0, (batch, pairs))
        expression = None
        if self.expression is not None:
            expression = self.expression(arrange(first, second, self.expression_input))
        flow = self.flow(clips, first, second, flow_pairs) if self.flow is not None else None
        return Estimates(expression=expression, flow=flow, landmarks=landmarks)

    def begin(self, part: TrainingPart) -> None:
        """Let landmarks start at the mean shape of the training subjects (decision 0009)."""
        if self.landmarks is not None:
            self.landmarks.start_at(part.mean_landmarks)
