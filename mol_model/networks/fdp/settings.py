"""Settings of FDP; what the paper leaves open is a setting with a decision record.

Marks as in `docs/paper-map.md`: P the paper says, R the authors' release does, A we assume.
"""

from typing import Annotated, Literal

from pydantic import Field

from mol_model.config.names import Flavour
from mol_model.config.network import NetworkSettings
from mol_pipeline.contract.errors import ConfigError

Width = Annotated[int, Field(ge=1, le=8192)]
Depth = Annotated[int, Field(ge=1, le=64)]
Pooling = Literal["closed-form", "learned", "none"]
BlockKinds = Literal["both", "local", "global"]

STAGES = 4


class FDPSettings(NetworkSettings):
    """The network of FDP and the weights of its losses."""

    flavour: Flavour = "paper"
    """The paper's parts, or what the authors' released code computes."""
    crop_px: int = Field(default=128, ge=16, le=1024)
    """Side of the crop, which is made as small as `side` (A: decision 0026)."""
    side: int = Field(default=64, ge=32, le=256, multiple_of=32)
    """Side of frames, of the clip's representation and of the dynamic image (R)."""
    stem: tuple[Width, Width, Width, Width] = (64, 32, 64, 64)
    """Channels of the first convolutions (R; P has one, its size unknown: decision 0026)."""
    widths: tuple[Width, Width, Width, Width] = (96, 192, 384, 768)
    """Channels of the local blocks of each stage (R)."""
    global_widths: tuple[Width, Width, Width, Width] = (128, 256, 512, 1024)
    """Channels of the global blocks of each stage (R)."""
    depths: tuple[Depth, Depth, Depth, Depth] = (3, 4, 10, 3)
    """Blocks of each stage (R)."""
    global_blocks: int = Field(default=1, ge=1, le=64)
    """How many at the end of a stage are global (A: decision 0026)."""
    blocks: BlockKinds = "both"
    """Local and global blocks, or one kind alone."""
    head_width: int = Field(default=8, ge=1, le=1024)
    """Channels of a head, of convolution and of attention (R)."""
    reductions: tuple[Depth, Depth, Depth, Depth] = (8, 4, 2, 1)
    """r of each stage: keys and values are means of r^2 positions (R)."""
    attention_share: float = Field(default=0.75, gt=0.0, lt=1.0)
    """Of the channels of a global block (R), to whole times of `attention_step`."""
    attention_step: int = Field(default=32, ge=1, le=1024)
    """See there (R)."""
    local_hidden: int = Field(default=3, ge=1, le=16)
    """Width of a local block's hidden layer over its channels (R)."""
    global_hidden: int = Field(default=2, ge=1, le=16)
    """The same of a global block (R)."""
    drop_path: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Stochastic depth of the last block; it grows from 0 block by block (R)."""
    pooling: Pooling = "closed-form"
    """How frames become one representation (A: decision 0027): weights in closed form; weights by
    a learned score; or none, the release's reshape, where nothing is ranked."""
    maps: Width = 8
    """Of the convolution over the representation (R)."""
    hidden: Width = 256
    """Width of the classifier's hidden layer (R)."""
    decoder: tuple[Width, Width, Width, Width, Width] = (64, 128, 256, 512, 512)
    """Channels of the five levels that construct the dynamic image (R)."""
    use_expression: bool = True
    """Recognise the expression."""
    use_dynamic_image: bool = True
    """Construct the dynamic image."""
    dynamic_image_weight: float = Field(default=100.0, ge=0.0)
    """Of its mean squared error, in 0..1, beside the cross entropy (R)."""
    rank_weight: float = Field(default=1.0, ge=0.0)
    """Of the order of learned scores (A: decision 0027)."""

    def tasks(self) -> frozenset[str]:
        """What is estimated."""
        parts = {"expression": self.use_expression, "dynamic-image": self.use_dynamic_image}
        return frozenset(name for name, there in parts.items() if there)


def check_settings(settings: FDPSettings) -> None:
    """Refuse settings that do not go together.

    Raises:
        ConfigError: Naming them.
    """
    if not settings.tasks():
        raise ConfigError(
            "model.use_expression=false, model.use_dynamic_image=false: nothing is left to learn"
        )
    if settings.flavour == "release" and (settings.pooling, settings.blocks) != ("none", "local"):
        raise ConfigError(
            f"model.flavour=release, model.pooling={settings.pooling}, model.blocks="
            f"{settings.blocks}: the release ranks nothing and builds no attention; set "
            "model.pooling=none and model.blocks=local, as --preset release does"
        )
    if settings.flavour == "release":
        return
    if settings.blocks != "global":
        _check_heads("model.widths", settings.widths, settings.head_width)
    if settings.blocks != "local":
        attended = [attention_width(width, settings) for width in settings.global_widths]
        rest = [width - part for width, part in zip(settings.global_widths, attended, strict=True)]
        if min(rest) < 1:
            raise ConfigError(
                f"model.global_widths={list(settings.global_widths)}: attention takes "
                f"{attended} of them and leaves nothing for the convolution; set a smaller "
                f"model.attention_step than {settings.attention_step}"
            )
        _check_heads("attention's part of model.global_widths", attended, settings.head_width)
        _check_heads("convolution's part of model.global_widths", rest, settings.head_width)
        _check_reductions(settings)


def _check_heads(name: str, widths: tuple[int, ...] | list[int], head: int) -> None:
    if any(width % head for width in widths):
        raise ConfigError(
            f"{name}={list(widths)}: each must be a multiple of model.head_width={head}"
        )


def _check_reductions(settings: FDPSettings) -> None:
    positions = [(settings.side // (4 * 2**stage)) ** 2 for stage in range(STAGES)]
    if any(count % r**2 for count, r in zip(positions, settings.reductions, strict=True)):
        raise ConfigError(
            f"model.reductions={list(settings.reductions)}: their squares must divide the "
            f"{positions} positions of the stages"
        )


def attention_width(width: int, settings: FDPSettings) -> int:
    """Channels of a global block that attention works on: the share, in whole steps.

    Args:
        width: Channels of the block.
        settings: With `attention_share` and `attention_step`.
    """
    wanted, step = settings.attention_share * width, settings.attention_step
    found = max(step, int(wanted + step / 2) // step * step)
    return found + step if found < 0.9 * wanted else found
