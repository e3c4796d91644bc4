"""Settings of a run, its data, loss, training, protocol and network: frozen, each with its source.

Marks as in `docs/paper-map.md`: P the paper says, R the authors' release does, A we
assume (a decision record tells why).
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator

from mol_model.config.mol import TINY, ModelConfig
from mol_model.config.names import (
    PRESET_NAMES,
    OptimiserName,
    Precision,
    PresetName,
    ProtocolName,
    Schedule,
    Selection,
)
from mol_model.config.network import DEFAULT_NETWORK, NetworkSettings, find_network
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import canonical_json
from mol_pipeline.contract.records import Settings
from mol_pipeline.contract.settings import load_settings, named_in

NO_NUMBER: dict[str, Any] = {"changes_numbers": False}
"""Marks a setting of how the work is done, from which no result follows."""


class LossConfig(Settings):
    """Weights of the full loss (P Eq. 9)."""

    flow_weight: float = Field(default=10.0, ge=0.0)
    """lambda_f (R)."""
    landmark_weight: float = Field(default=0.1, ge=0.0)
    """lambda_m (R)."""
    release_scaling: bool = False
    """Scale the flow and landmark terms as the release does (decision record 0011)."""


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
    schedule: Schedule = "constant"
    """Of the learning rate."""
    decay: float = Field(default=0.99, gt=0.0, le=1.0)
    """For `exponential`: factor of the rate every `decay_every` steps."""
    decay_every: int = Field(default=100, ge=1)
    """For `exponential`."""
    optimiser: OptimiserName = "adamw"
    """`adamw` without decay is the paper's Adam; `adam` adds the decay to the gradient; `sgd`."""
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    """For `sgd`."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled for `adamw`; 0 is plain Adam (P)."""
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
    one of its six databases out with action units; `owners-split` tests each part that a
    database's owners keep for it, by a model of their training part; `all` trains on
    everything and tests nothing, for pre-training."""
    train: tuple[str, ...] = ()
    """For `cross`: databases that train together; empty: each alone. For `owners-split`: parts;
    empty: those called training or train."""
    test: tuple[str, ...] = ()
    """For `cross`: databases that are tested; empty: each. For `hold-out`: subjects that are
    tested, as `subject` or `database/subject`. For `owners-split`: parts; empty: all others."""
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

    network: str = Field(default=DEFAULT_NETWORK, max_length=255)
    """A name of `NETWORKS`, or `module:attribute` of one's own."""
    protocol: ProtocolConfig = ProtocolConfig()
    model: SerializeAsAny[NetworkSettings] = Field(default=ModelConfig(), validate_default=True)
    """Settings of the network, of the kind that its definition names."""
    loss: LossConfig = LossConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()

    @field_validator("model", mode="wrap")
    @classmethod
    def _of_network(cls, value: Any, _: Any, info: ValidationInfo) -> NetworkSettings:
        """Read the settings as the network's own."""
        kind = settings_of(info.data.get("network", DEFAULT_NETWORK))
        if isinstance(value, kind):
            return value
        if value == ModelConfig():  # the default, which is MOL's
            return kind()
        if isinstance(value, NetworkSettings):
            raise ValueError(  # noqa: TRY004 - pydantic asks for it
                f"settings of another network: {type(value).__name__}"
            )
        return kind.model_validate_json(canonical_json(value))

    @property
    def network_words(self) -> str:
        """The network and its flavour, for pages and cards."""
        flavour = getattr(self.model, "flavour", None)
        return f"{self.network}, flavour {flavour}" if flavour else self.network


def settings_of(network: str) -> type[NetworkSettings]:
    """The kind of settings of a network, by its name; that of MOL is known without torch.

    Raises:
        ConfigError: If there is no such network.
    """
    if network == DEFAULT_NETWORK:
        return ModelConfig
    kind: type[NetworkSettings] = find_network(network).settings
    return kind


def settings_that_count(config: RunConfig) -> dict[str, Any]:
    """The settings that the numbers of a run follow from, as a document.

    Runs that agree in these and in their data are one run: `NO_NUMBER` settings may change when
    it continues. Settings that are not in use are left out too. The path of `init_from` is no
    number; what lies there is compared by its hash.
    """
    document = _counting(config)
    training, protocol = document["training"], document["protocol"]
    training["init_from"] = config.training.init_from is not None
    if config.network == DEFAULT_NETWORK:
        del document["network"]
    if config.training.optimiser == "adamw":
        del training["optimiser"]
    if config.training.optimiser != "sgd":
        del training["momentum"]
    if config.training.schedule != "exponential":
        del training["decay"], training["decay_every"]
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


def preset_names(network: str) -> tuple[str, ...]:
    """Presets of a network; the first is taken if none is named.

    Raises:
        ConfigError: If there is no such network.
    """
    if network == DEFAULT_NETWORK:
        return PRESET_NAMES
    return tuple(find_network(network).presets)


def _base(network: str, preset: str | None) -> dict[str, Any]:
    """The document that a preset of a network is."""
    names = preset_names(network)
    name = names[0] if preset is None else preset
    if name not in names:
        raise ConfigError(
            f"--preset {name}: the network {network} has no such preset; it has {', '.join(names)}"
        )
    if network == DEFAULT_NETWORK:
        return PRESETS[name].model_dump(mode="json")
    return {"network": network, **find_network(network).presets[name]}


def resolve_settings(
    preset: str | None,
    config_file: Path | None = None,
    overrides: tuple[str, ...] = (),
    seed: int | None = None,
    network: str | None = None,
) -> RunConfig:
    """Settings from a preset, a file, `key=value` overrides and a seed; later wins.

    `network.x=...` is another word for `model.x=...`: a setting of the network. Without a name
    the network is that of the file, or MOL.

    Raises:
        ConfigError: If one is unknown or wrong.
    """
    named = named_in(config_file, "network") if config_file and network is None else None
    network = network or (named if isinstance(named, str) else DEFAULT_NETWORK)
    words = [
        f"model.{word.removeprefix('network.')}" if word.startswith("network.") else word
        for word in overrides
    ]
    if seed is not None:
        words.append(f"training.seed={seed}")
    known = (f"model.{name}" for name in settings_of(network).model_fields)
    return load_settings(
        RunConfig, config_file, tuple(words), base=_base(network, preset), known=tuple(known)
    )
