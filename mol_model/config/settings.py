"""Settings of the network and of the loss: frozen, with the source of each default.

Marks as in `docs/paper-map.md`: P the paper says, R the authors' release does, A we
assume (a decision record tells why).
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mol_model.config.names import (
    PRESET_NAMES,
    Flavour,
    Precision,
    PresetName,
    ProtocolName,
    Selection,
)
from mol_pipeline.contract.records import Settings
from mol_pipeline.contract.settings import load_settings

NO_NUMBER: dict[str, Any] = {"changes_numbers": False}
"""Marks a setting of how the work is done, from which no result follows."""

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


class ModelConfig(Settings):
    """The network of MOL."""

    flavour: Flavour = "paper"
    """The paper's equations, or what the authors' released code computes (for its weights)."""
    classes: int = Field(default=5, ge=2, le=1000)
    """Expression classes (P Sec. 4.1.1)."""
    frames: int = Field(default=8, ge=2, le=1000)
    """t (P Sec. 4.1.3)."""
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


class LossConfig(Settings):
    """Weights of the full loss (P Eq. 9)."""

    flow_weight: float = Field(default=10.0, ge=0.0)
    """lambda_f (R)."""
    landmark_weight: float = Field(default=0.1, ge=0.0)
    """lambda_m (R)."""
    release_scaling: bool = False
    """Scale the flow and landmark terms as the release does (decision record 0011)."""


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


class DataConfig(Settings):
    """How clips reach the network."""

    flip: bool = True
    """Random horizontal flip in training (P Sec. 4.1.3)."""
    random_crop: bool = True
    """Random crop in training, centre crop in test (P Sec. 4.1.3)."""
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Largest relative change of brightness and contrast of a whole clip; the paper has none."""
    cache: Literal["auto", "device", "stream"] = Field(default="auto", json_schema_extra=NO_NUMBER)
    """`device` keeps all clips where the network computes, `stream` reads them from the shards
    as they are needed, `auto` keeps them where they fit."""
    cache_mb: int = Field(default=4096, ge=0, json_schema_extra=NO_NUMBER)
    """Main memory for decoded clips, of all folds at once together; beyond it they stream from
    the shards."""
    workers: int = Field(default=0, ge=0, json_schema_extra=NO_NUMBER)
    """Processes that decompress streamed clips; 0: a thread beside the training."""
    shuffle_labels: bool = False
    """Control experiment: labels are permuted among the training videos. What is then still
    recognised comes from a leak or from choosing on the test fold; marked in every output."""


class TrainingConfig(Settings):
    """How the network is trained."""

    steps: int = Field(default=1000, ge=1)
    """Optimiser steps of a fold (R)."""
    batch_size: int = Field(default=32, ge=1)
    """Clips a step (R), of all processes together."""
    learning_rate: float = Field(default=1e-4, gt=0.0)
    """Of Adam (P names Adam; value R)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled (AdamW); 0 is plain Adam (P)."""
    clip_gradient: float | None = Field(default=None, gt=0.0)
    """Largest norm of the gradient, or None."""
    precision: Precision = "float32"
    """Of the products: float32 as the release; tf32 rounds them on CUDA; bf16 is automatic mixed
    precision. Weights, losses and tests stay float32."""
    compile: bool = False
    """Compile the network with `torch.compile`; needs a C++ compiler, on CUDA also Triton."""
    deterministic: bool = False
    """Only kernels that give the same bits again, slower on CUDA."""
    init_from: str | None = None
    """Checkpoint whose weights training starts from (P Sec. 4.1.3: pre-trained on Aff-Wild2)."""
    flow_pairs: int | None = Field(default=None, ge=1)
    """Pairs of a clip, drawn anew each step, whose flow is estimated in training; None: all.
    The loss stays an unbiased estimate of Eq. 7, at a fraction of the cost. Tests use all."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs classes of the training part inversely to their clips; none: P."""
    seed: int = 0
    """Of weights, order and augmentation."""
    selection: Selection = "last"
    """Which model is tested: the one after the last step; the best on people held out inside
    the training part; the best on the test part itself (R), which is optimistic and says so."""
    evaluate_every: int = Field(default=100, ge=1)
    """Steps between looks at the held-out people, for `validation` and `test-best`."""
    validation_share: float = Field(default=0.15, gt=0.0, lt=1.0)
    """Of the training videos that validation takes, in whole people."""
    log_every: int = Field(default=10, ge=1, json_schema_extra=NO_NUMBER)
    """Steps between lines of `metrics.jsonl`."""
    checkpoint_every: int = Field(default=100, ge=1, json_schema_extra=NO_NUMBER)
    """Steps between checkpoints."""


class ProtocolConfig(Settings):
    """Which videos train and which test; see `mol_model.protocols.folds`."""

    name: ProtocolName = "loso"
    """`composite` is leave one subject out over several databases (MEGC 2019); `cd6me` is leave
    one of its six databases out with action units; `all` trains on everything and tests nothing,
    for pre-training."""
    train: tuple[str, ...] = ()
    """For `cross`: databases that train together; empty: each alone."""
    test: tuple[str, ...] = ()
    """For `cross`: databases that are tested; empty: each. For `hold-out`: subjects that are
    tested, as `subject` or `database/subject`."""
    k: int = Field(default=5, ge=2)
    """For `k-fold`."""
    seed: int = 0
    """For `k-fold`: breaks ties when people are dealt."""


class ProtocolDocument(Settings):
    """A protocol of the field by its rule, as in `manifests/protocols/`; no list of clips."""

    title: str
    source: str
    """Where the field has it from."""
    databases: tuple[str, ...] = Field(min_length=1)
    mapping: str
    """Label mapping."""
    protocol: ProtocolConfig


class RunConfig(Settings):
    """All settings of `moltrain fit`, written resolved beside its output."""

    protocol: ProtocolConfig = ProtocolConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()


def settings_that_count(config: RunConfig) -> dict[str, Any]:
    """The settings that the numbers of a run follow from, as a document.

    Runs that agree in these and in their data are one run: `NO_NUMBER` settings may change when
    it continues. Settings that are not in use are left out too. The path of `init_from` is no
    number; what lies there is compared by its hash.
    """
    document = _counting(config)
    training, protocol = document["training"], document["protocol"]
    training["init_from"] = config.training.init_from is not None
    if config.training.selection != "validation":
        del training["validation_share"]
    if config.training.selection == "last":
        del training["evaluate_every"]
    if config.protocol.name != "k-fold":
        del protocol["k"], protocol["seed"]
    return document


def _counting(settings: Settings) -> dict[str, Any]:
    document = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if field.json_schema_extra == NO_NUMBER:
            del document[name]
        elif isinstance(value, Settings):
            document[name] = _counting(value)
    return document


def _preset(name: PresetName) -> RunConfig:
    match name:
        case "paper":
            return RunConfig()
        case "tiny":
            return RunConfig(
                model=TINY,
                # So few steps see a clip about ten times: crops and flips would make it harder.
                data=DataConfig(brightness=0.2, flip=False, random_crop=False),
                training=TrainingConfig(
                    steps=200,
                    batch_size=8,
                    learning_rate=3e-3,
                    schedule="cosine",
                    clip_gradient=1.0,
                    flow_pairs=3,
                ),
            )


PRESETS: dict[str, RunConfig] = {name: _preset(name) for name in PRESET_NAMES}
"""By name. The type checker refuses a name without a preset."""


def resolve_settings(
    preset: str,
    config_file: Path | None = None,
    overrides: tuple[str, ...] = (),
    seed: int | None = None,
) -> RunConfig:
    """Settings from a preset, a file, `key=value` overrides and a seed; later wins.

    Raises:
        ConfigError: If one is unknown or wrong.
    """
    if seed is not None:
        overrides = (*overrides, f"training.seed={seed}")
    base = PRESETS[preset].model_dump(mode="json")
    return load_settings(RunConfig, config_file, overrides, base=base)
