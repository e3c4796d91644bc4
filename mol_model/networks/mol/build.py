"""From settings to modules: the only place where the two meet."""

from torch import nn

from mol_model.config.mol import ModelConfig
from mol_model.networks.mol.blocks import (
    ChannelCorrespondenceConvolution,
    F5CBlock,
    FullyConnectedConvolution,
    Stem,
    TransformerMixer,
)
from mol_model.networks.mol.heads import ExpressionHead, FlowHead, LandmarkHead
from mol_model.networks.mol.heads.expression import sequence_length
from mol_model.networks.mol.network import MOL
from mol_model.networks.mol.release.blocks import (
    STORED_LENGTH,
    ReleaseChannelCorrespondence,
    ReleaseFullyConnectedConvolution,
)
from mol_pipeline.contract.errors import ConfigError


def build_network(config: ModelConfig) -> MOL:
    """Build the network that the settings describe.

    Raises:
        ConfigError: If settings do not go together.
    """
    if not (config.use_expression or config.use_flow or config.use_landmarks):
        raise ConfigError("model: use_expression, use_flow and use_landmarks are all off")
    channels = config.stem_channels[-1]
    size = Stem.output_size(config.crop_px)
    _check_blocks(config, channels, size)

    def branch() -> nn.Module:
        blocks = [
            F5CBlock(
                channels=channels,
                mixer=_mixer(config, channels, size),
                ccc=_ccc(config, channels, size),
                exit_convolution=config.flavour == "paper",
            )
            for _ in range(config.f5c_blocks)
        ]
        return nn.Sequential(*blocks)

    pairs = config.frames - 1
    return MOL(
        stem=Stem(channels=config.stem_channels),
        first=branch(),
        second=branch(),
        expression=ExpressionHead(
            channels=channels,
            height=size,
            width=size,
            depth=sequence_length(pairs, config.expression_input),
            classes=config.classes,
            conv_channels=config.expression_channels,
            hidden=config.expression_hidden,
            dropout=config.dropout,
        )
        if config.use_expression
        else None,
        flow=FlowHead(channels=channels, height=size, width=size, **config.flow.model_dump())
        if config.use_flow
        else None,
        landmarks=LandmarkHead(
            channels=channels,
            height=size,
            width=size,
            conv_channels=config.landmark_channels,
            hidden=config.landmark_hidden,
            start_px=(config.crop_px - 1) / 2,
        )
        if config.use_landmarks
        else None,
        frames=config.frames,
        crop_px=config.crop_px,
        expression_input=config.expression_input,
    )


def has_unused_branch(config: ModelConfig) -> bool:
    """Whether no output depends on a branch of the pairs, because its heads are left out."""
    expression = config.expression_input if config.use_expression else None
    first = config.use_flow or expression not in (None, "second")
    second = config.use_flow or config.use_landmarks or expression not in (None, "first")
    return config.f5c_blocks > 0 and not (first and second)


def _check_blocks(config: ModelConfig, channels: int, size: int) -> None:
    """Refuse settings of the blocks that do not go together."""
    if not config.f5c_blocks:
        return
    release = config.flavour == "release"
    if config.use_ccc and not release and config.neighbours >= channels:
        raise ConfigError(
            f"model.neighbours={config.neighbours}: must be below the {channels} channels"
        )
    if config.use_ccc and release and config.neighbours > size * size:
        raise ConfigError(
            f"model.neighbours={config.neighbours}: the release's graph has {size * size} positions"
        )
    if release and config.mixer in ("fcc_v", "fcc_h"):
        raise ConfigError(f"model.mixer={config.mixer}: the release has no such block")
    if release and config.mixer == "fcc" and (channels % 2 or size > STORED_LENGTH):
        raise ConfigError(
            f"model: the release's FCC takes an even number of channels and maps up to "
            f"{STORED_LENGTH}x{STORED_LENGTH}, not {channels} channels and {size}x{size}"
        )
    if config.mixer == "transformer" and channels % TransformerMixer.HEADS:
        raise ConfigError(
            f"model.stem_channels: its last, {channels}, must be a multiple of the transformer's "
            f"{TransformerMixer.HEADS} heads"
        )


def _ccc(config: ModelConfig, channels: int, size: int) -> nn.Module | None:
    if not config.use_ccc:
        return None
    if config.flavour == "release":
        return ReleaseChannelCorrespondence(height=size, width=size, neighbours=config.neighbours)
    return ChannelCorrespondenceConvolution(
        channels=channels, height=size, width=size, neighbours=config.neighbours
    )


def _mixer(config: ModelConfig, channels: int, size: int) -> nn.Module | None:
    if config.flavour == "release" and config.mixer == "fcc":
        return ReleaseFullyConnectedConvolution(channels=channels, height=size, width=size)
    match config.mixer:
        case "fcc":
            return FullyConnectedConvolution(channels=channels, height=size, width=size)
        case "fcc_v":
            return FullyConnectedConvolution(
                channels=channels, height=size, width=size, only="vertical"
            )
        case "fcc_h":
            return FullyConnectedConvolution(
                channels=channels, height=size, width=size, only="horizontal"
            )
        case "transformer":
            return TransformerMixer(channels=channels, height=size, width=size)
        case "none":
            return None
