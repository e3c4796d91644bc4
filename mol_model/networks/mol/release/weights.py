"""Read a checkpoint of the authors' released code into the network of its flavour."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from mol_model.networks.mol.network import MOL
from mol_pipeline.contract.documents import Unreadable, check_ordinary, repr_of, shortened
from mol_pipeline.contract.errors import TrainingError

CLASSIFIER = "mer_3dcnn.fc2.weight"
"""Its rows are the classes."""
MOST_CLASSES = 1000
"""Of an expression; the release has 3 and 5."""
UNUSED = (".ffn.",)
"""Stored by the release and never used in its forward pass."""


@dataclass(frozen=True)
class ImportReport:
    """What became of the keys of a state dict."""

    used: tuple[str, ...]
    unused: tuple[str, ...]
    """Known to have no effect."""
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    """Keys that the network needs and the file lacks."""

    def require_complete(self, source: object) -> None:
        """Refuse a state dict with missing or unknown keys.

        Raises:
            TrainingError: With the first keys and their number.
        """
        if self.missing or self.unknown:
            raise TrainingError(
                f"{source}: no checkpoint of the release: missing {list(self.missing[:5])} "
                f"({len(self.missing)}), unknown {list(self.unknown[:5])} ({len(self.unknown)})"
            )


def _key_map() -> dict[str, str]:
    """Prefix in the release -> prefix in our network."""
    names = {f"conv_stack.conv_stack.{i}": f"stem.layers.{i}" for i in range(4)}
    for number, branch in ((1, "first"), (2, "second")):
        fcc, ccc = f"FCC_{number}", f"CCC_{number}"
        for order in (1, 2):
            for axis in ("H", "W"):
                ours = f"{branch}.0.mixer"
                suffix = f"{order}_{axis.lower()}"
                names[f"{fcc}.meta_kernel_{order}_{axis}"] = f"{ours}.kernel_{suffix}"
                names[f"{fcc}.meta_{order}_{axis}_bias"] = f"{ours}.bias_{suffix}"
                names[f"{fcc}.meta_pe_{order}_{axis}"] = f"{ours}.position_{suffix}"
            names[f"{fcc}.pre_Norm_{order}"] = f"{branch}.0.mixer.norm_{order}"
        names[f"{ccc}.conv1"] = f"{branch}.0.ccc.centre"
        names[f"{ccc}.conv2"] = f"{branch}.0.ccc.difference"
    names |= {
        "mer_3dcnn.conv3d": "expression.conv",
        "mer_3dcnn.fc1": "expression.hidden",
        "mer_3dcnn.fc2": "expression.classifier",
        "ldm_predictor.convldm": "landmarks.conv",
        "ldm_predictor.fc1": "landmarks.hidden",
        "ldm_predictor.fc2": "landmarks.points",
        "flownet.conv_redir": "flow.redirection",
    }
    for level in ("conv1", "conv2", "conv3"):
        names[f"flownet.{level}"] = f"flow.encoder.{level}"
    for level in ("conv3_1", "conv4", "conv4_1", "conv5", "conv5_1", "conv6", "conv6_1"):
        names[f"flownet.{level}"] = f"flow.{level}"
    for i in range(6):
        names[f"flownet.deconv{5 - i}"] = f"flow.deconvs.{i}"
        names[f"flownet.upsampled_flow{6 - i}_to_{5 - i}"] = f"flow.upsamplings.{i}"
    for i in range(7):
        names[f"flownet.predict_flow{6 - i}"] = f"flow.predictions.{i}"
    return names


def convert_state(
    state: Mapping[str, Tensor], model: MOL
) -> tuple[dict[str, Tensor], ImportReport]:
    """Rename and reshape the release's tensors; nothing is dropped in silence.

    Raises:
        TrainingError: If a tensor has a size that does not fit.
    """
    prefixes = _key_map()
    expected = model.state_dict()
    converted: dict[str, Tensor] = {}
    used: list[str] = []
    unused: list[str] = []
    unknown: list[str] = []
    for key, value in state.items():
        ours = prefixes.get(key)
        if ours is None and "." in key:
            # The longest known prefix; what follows (`.0.weight`, `.bias`) is kept.
            parts = key.split(".")
            for cut in range(len(parts) - 1, 0, -1):
                prefix = prefixes.get(".".join(parts[:cut]))
                if prefix is not None:
                    ours = ".".join([prefix, *parts[cut:]])
                    break
        if ours is None or ours not in expected:
            (unused if any(mark in key for mark in UNUSED) else unknown).append(key)
            continue
        if value.numel() != expected[ours].numel():
            raise TrainingError(
                f"{key}: {tuple(value.shape)} does not fit {ours} {tuple(expected[ours].shape)}; "
                "is the number of classes right?"
            )
        converted[ours] = value.reshape(expected[ours].shape)
        used.append(key)
    missing = tuple(
        name
        for name in expected
        if name not in converted and not name.endswith("num_batches_tracked")
    )
    return converted, ImportReport(tuple(used), tuple(unused), tuple(unknown), missing)


def read_release(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint file by the release's key names; nothing in it is executed.

    Raises:
        TrainingError: If the file cannot be read as weights alone.
    """
    try:
        check_ordinary(path)
    except FileNotFoundError:
        raise TrainingError(f"{path}: is not there") from None
    except Unreadable as error:
        raise TrainingError(f"{path}: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats of long ago
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no narrower type for what a file may hold
        raise TrainingError(f"{path}: {_refusal(error)}") from error
    source = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(source, Mapping) or not source:
        raise TrainingError(f"{path}: holds no state dict; save the model's state_dict alone")
    for name, value in source.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TrainingError(
                f"{path}: holds {shortened(repr_of(name), 60)}, which is no named tensor; save the "
                "model's state_dict alone"
            )
    return bare_names(source)


def _refusal(error: Exception) -> str:
    """Why a file is not read; without PyTorch's advice to switch its safety off."""
    if isinstance(error, UnpicklingError) or "weights_only" in str(error):
        return (
            "cannot be read as weights: it is damaged, or needs code of its own to be opened, "
            "which is not run; save the model's state_dict alone"
        )
    return f"cannot be read as weights ({shortened(error)}); is it a checkpoint of PyTorch?"


def bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict without what `DataParallel` puts before each name."""
    return {key.removeprefix("module."): value for key, value in state.items()}


def release_classes(state: Mapping[str, Tensor]) -> int:
    """Number of expression classes of a checkpoint, from its last layer.

    Raises:
        TrainingError: If that layer is not there.
    """
    if CLASSIFIER not in state:
        raise TrainingError(f"no checkpoint of the release: it has no {CLASSIFIER}")
    classes = len(state[CLASSIFIER]) if state[CLASSIFIER].dim() else 0
    if not 2 <= classes <= MOST_CLASSES:
        raise TrainingError(f"no checkpoint of the release: {CLASSIFIER} has {classes} classes")
    return classes
