"""Settings of MOL's network: frozen, with the source of each default.

Marks as in `docs/paper-map.md`: P the paper says, R the authors' release does, A we
assume (a decision record tells why).
"""

from typing import Annotated, Literal

from pydantic import Field

from mol_model.config.names import Flavour
from mol_model.config.network import NetworkSettings
from mol_pipeline.contract.records import Settings

Mixer = Literal["fcc", "fcc_v", "fcc_h", "transformer", "none"]
ExpressionInput = Literal["concatenate", "first", "second", "all", "add", "subtract"]


Width = Annotated[int, Field(ge=1, le=8192)]
"""Channels of a layer. The limits here are far above any network of this field; a checkpoint that
says more would fill the memory before anything else could be said about it."""


class FlowHeadConfig(Settings):
    """Widths of the flow head (P Fig. 4, R)."""

    encoder: tuple[Width, Width, Width] = (64, 128, 256)
    """Channels after each stride-2 convolution of the encoder (R)."""
    redirection: Width = 32
    """Channels kept of the first frame beside the correlation (R)."""
    contracting: tuple[Width, Width, Width] = (512, 512, 1024)
    """Channels of conv4, conv5, conv6 (R)."""
    expanding: tuple[Width, Width, Width, Width, Width, Width] = (512, 256, 128, 128, 64, 32)
    """Channels of the six deconvolutions (R)."""
    displacements: int = Field(default=21, ge=1, le=255)
    """Displacements per axis of the correlation (R); odd."""
    dilation: int = Field(default=2, ge=1, le=64)
    """Step between displacements, feature pixels (R)."""


class ModelConfig(NetworkSettings):
    """The network of MOL."""

    flavour: Flavour = "paper"
    """The paper's equations, or what the authors' released code computes (for its weights)."""
    crop_px: int = Field(default=128, ge=64, le=1024, multiple_of=64)
    """Side of the network's input (P Sec. 4.1.3); the flow head halves it six times."""
    stem_channels: tuple[Width, Width, Width, Width] = (8, 32, 64, 128)
    """Output channels of the stem's convolutions (P Table I, R); the last is C."""
    f5c_blocks: int = Field(default=1, ge=0, le=3)
    """F5C blocks in each branch of a pair (P Table X); 0 is `w/o F5C` of Table IX."""
    mixer: Mixer = "fcc"
    """What stands in the place of FCC (P Tables IX and XI)."""
    use_ccc: bool = True
    """CCC in the F5C block (P Table IX)."""
    neighbours: int = Field(default=4, ge=1, le=1000)
    """k of the CCC graph (R; the paper tuned it by cross-validation)."""
    expression_input: ExpressionInput = "concatenate"
    """How the features of a pair reach the expression head (P Table XII)."""
    expression_channels: Width = 32
    """Channels of the 3-D convolution (R)."""
    expression_hidden: Width = 256
    """Width of the classifier's hidden layer (R)."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Before both fully-connected layers of the classifier (R)."""
    landmark_channels: Width = 32
    """Channels of the landmark head's convolution (R)."""
    landmark_hidden: Width = 512
    """Width of the landmark head's hidden layer (R)."""
    flow: FlowHeadConfig = FlowHeadConfig()
    use_expression: bool = True
    """Expression head; without it the rows `w/o MER` of Tables XIV and XV."""
    use_flow: bool = True
    """Flow head; without it `w/o OFE` (P Table VIII)."""
    use_landmarks: bool = True
    """Landmark head; without it `w/o FLD` (P Table VIII)."""

    def tasks(self) -> frozenset[str]:
        """Heads that are there."""
        heads = {
            "expression": self.use_expression,
            "flow": self.use_flow,
            "landmarks": self.use_landmarks,
        }
        return frozenset(name for name, there in heads.items() if there)


TINY = ModelConfig(
    stem_channels=(8, 16, 24, 32),
    expression_channels=16,
    expression_hidden=64,
    dropout=0.2,
    landmark_channels=8,
    landmark_hidden=64,
    flow=FlowHeadConfig(
        encoder=(8, 16, 24),
        redirection=8,
        contracting=(32, 32, 48),
        expanding=(32, 24, 16, 8, 8, 4),
        displacements=5,
        dilation=1,
    ),
)
"""The same network with narrow layers: for a CPU, a demo, a test."""
