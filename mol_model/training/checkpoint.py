"""Checkpoints: tensors as safetensors, everything else as JSON. Never a pickle.

    NAME.json                what the tensors mean: settings, classes, normalisation, data
    NAME.HASH.safetensors    `model.*`, and `adam.*` while a run goes on

The JSON names its tensors by their hash. A new checkpoint is written beside the old one, the
rename of its JSON switches from the old to the new, and then the old tensors are removed: whenever
it is interrupted, one of the two is whole. Earlier versions wrote `NAME.safetensors`; it is read.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mol_model.config.run_layout import CHECKPOINT_NAME
from mol_model.config.settings import RunConfig
from mol_model.networks.build import BuiltNetwork, build
from mol_pipeline.contract.documents import Unreadable, read_document, shortened
from mol_pipeline.contract.errors import TrainingError, refusal, refusal_number
from mol_pipeline.contract.files import atomically, hash_file, write_atomically
from mol_pipeline.contract.records import Record
from mol_pipeline.contract.validation import first_problem

FORMAT_VERSION = 2


class CheckpointRecord(Record):
    """What a checkpoint is, so that it can be understood with no other file."""

    format_version: int = FORMAT_VERSION
    config: RunConfig
    classes: tuple[str, ...]
    mapping: str
    """Label mapping that the classes belong to."""
    fold: str
    step: int
    """Optimiser steps done."""
    mean: float = Field(allow_inf_nan=False)
    """Grey statistics of the training subjects."""
    std: float = Field(gt=0, allow_inf_nan=False)
    manifest_hash: str
    synthetic: bool
    people: tuple[str, ...] = ()
    """Everybody whom the model was trained on or chosen by, also before a warm start."""
    people_complete: bool = True
    """Whether nobody else is known to the model; False after a start from unknown people."""
    started_from: str | None = None
    """SHA-256 of the tensors of `training.init_from`."""
    selection: str
    """How the model was chosen, e.g. `last`."""
    preparation: dict[str, Any] | None = None
    """Settings of `molprep build` that made the clips it was trained on; None where they are not
    known (earlier versions), or were not the same for all."""
    score: float | None = None
    """Accuracy by which it was chosen, on the people that `selection` names."""
    tensors_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Also says which file of tensors beside the JSON is meant."""

    @property
    def imported(self) -> bool:
        """Whether the weights come from the authors' released code, not from a run of ours."""
        return not self.manifest_hash

    @property
    def knows_people(self) -> bool:
        """Whether it is known whom the model was trained on: nobody named is nobody known."""
        return self.people_complete and bool(self.people)


def save_checkpoint(
    path: Path,
    record: CheckpointRecord,
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint beside the one that is there, switch to it by one rename, remove the old.

    Args:
        path: Without ending.
        record: What the tensors mean.
        model: Whose weights are kept.
        optimiser: Whose state is kept too, if any.

    Raises:
        TrainingError: If the disk is full or cannot be written, or a number is not finite; an
            older checkpoint stays.
    """
    tensors = {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
    if optimiser is not None:
        for name, state in _adam_states(model, optimiser):
            for key, value in state.items():
                tensors[f"adam.{key}.{name}"] = torch.as_tensor(value).contiguous()
    _refuse_non_finite(tensors, path, "is not saved, an older checkpoint stays")
    new = path.with_name(f"{path.name}.new.safetensors")
    try:
        with atomically(new) as place:
            save_file(tensors, place)
            digest = hash_file(place)
        target = _tensors_file(path, digest)
        new.replace(target)
        complete = record.model_copy(update={"tensors_sha256": digest})
        write_atomically(_document(path), complete.model_dump_json(indent=1).encode())
        for other in path.parent.iterdir():
            if other != target and _is_tensors_of(path, other.name):
                other.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        reason, advice = refusal(refusal_number(error), str(error))
        raise TrainingError(
            f"{path}: the checkpoint cannot be written: {reason}; {advice} or choose another "
            "--out, then run again to continue"
        ) from error


def _document(path: Path) -> Path:
    """What the checkpoint `path` (without ending) is, as JSON; its name may hold dots."""
    return path.with_name(f"{path.name}.json")


def _tensors_file(path: Path, digest: str) -> Path:
    """Where the tensors of a hash lie beside `path` (without ending)."""
    return path.with_name(f"{path.name}.{digest[:16]}.safetensors")


def _is_tensors_of(path: Path, name: str) -> bool:
    """Whether a file is tensors of this checkpoint, current or not; `a.b` is not one of `a`."""
    rest = name.removeprefix(path.name) if name.startswith(path.name) else ""
    return re.fullmatch(r"(\.new|\.[0-9a-f]{16})?\.safetensors", rest) is not None


def record_path(path: Path) -> Path:
    """Path of a checkpoint without ending, as a user may name it.

    That is with the ending of one of its two files, with none, or by the directory of its fold.
    """
    if path.is_dir():
        return path / CHECKPOINT_NAME
    return path.with_name(re.sub(r"(\.[0-9a-f]{16})?\.safetensors$|\.json$", "", path.name))


def has_checkpoint(path: Path) -> bool:
    """Whether there is a checkpoint of this path without ending."""
    return _document(path).exists()


def read_record(path: Path) -> CheckpointRecord:
    """What a checkpoint is, by its path without ending; its tensors are not read.

    Raises:
        TrainingError: If the file is missing, damaged, or of another format.
    """
    document = _document(path)
    try:
        record = CheckpointRecord.model_validate_json(read_document(document))
    except FileNotFoundError:
        raise TrainingError(f"{document}: no checkpoint there") from None
    except Unreadable as error:
        raise TrainingError(f"{document}: {error}") from error
    except ValidationError as error:
        raise TrainingError(f"{document}: {first_problem(error)}") from error
    if record.format_version != FORMAT_VERSION:
        raise TrainingError(
            f"{path}: checkpoint format {record.format_version}, this reads {FORMAT_VERSION}"
        )
    return record


def load_checkpoint(path: Path) -> tuple[CheckpointRecord, dict[str, Tensor]]:
    """Read a checkpoint by its path without ending.

    Raises:
        TrainingError: If a file is missing, damaged, or of another format.
    """
    record = read_record(path)
    try:
        return record, _load_tensors(path, record)
    except FileNotFoundError as error:
        again = read_record(path)
        if again == record:
            raise TrainingError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return again, _load_tensors(path, again)  # a newer one was saved between the two looks


def _load_tensors(path: Path, record: CheckpointRecord) -> dict[str, Tensor]:
    """The tensors that a record names.

    Raises:
        TrainingError: If the file is damaged.
        FileNotFoundError: If it is not there.
    """
    target = _tensors_file(path, record.tensors_sha256)
    if not target.is_file():  # as earlier versions wrote it
        target = path.with_name(f"{path.name}.safetensors")
    try:
        if hash_file(target) != record.tensors_sha256:
            raise TrainingError(f"{target}: is not the file that {path.name}.json describes")
        tensors = load_file(target)
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{target}: cannot be read ({shortened(error)})") from error
    _refuse_non_finite(tensors, path, "says nothing about any video")
    return tensors


def _refuse_non_finite(tensors: Mapping[str, Tensor], path: Path, words: str) -> None:
    """Refuse weights with which every answer would be the first class.

    Raises:
        TrainingError: If a number among them is not finite.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise TrainingError(
                f"{path}: {name.removeprefix('model.')} holds numbers that are not finite, and "
                f"{words}; lower training.learning_rate or set training.clip_gradient"
            )


def load_model(path: Path, device: torch.device) -> tuple[BuiltNetwork, CheckpointRecord]:
    """The network of a checkpoint in eval mode on a device, and what it is.

    Args:
        path: As `record_path` takes it.
        device: Where to compute.

    Raises:
        TrainingError: If a file is missing, damaged, or of another format.
    """
    record, tensors = load_checkpoint(record_path(path))
    _check_shapes(path, record, tensors)
    model = build(record.config)
    restore(tensors, model.module)
    model.module.eval()
    return model.to(device), record


def _check_shapes(path: Path, record: CheckpointRecord, tensors: Mapping[str, Tensor]) -> None:
    """Compare what a checkpoint's settings describe with its tensors, before memory is taken.

    Raises:
        TrainingError: If they are of different networks.
    """
    try:
        with torch.device("meta"):
            described = build(record.config).module.state_dict()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise TrainingError(
            f"{path}: its settings describe no network ({shortened(error)})"
        ) from error
    weights = model_weights(tensors)
    for name, value in described.items():
        if name not in weights or weights[name].shape != value.shape:
            held = tuple(weights[name].shape) if name in weights else "nothing"
            raise TrainingError(
                f"{path}: checkpoint of another network: {name} has {held}, its settings say "
                f"{tuple(value.shape)}"
            )


def model_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of a checkpoint's tensors that are the network's, by their names in it."""
    return {
        name.removeprefix("model."): value
        for name, value in tensors.items()
        if name.startswith("model.")
    }


def restore(
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None = None,
) -> None:
    """Put the tensors of a checkpoint into a model, and into its optimiser.

    Raises:
        TrainingError: If the tensors belong to another network.
    """
    try:
        model.load_state_dict(model_weights(tensors))
    except RuntimeError as error:
        raise TrainingError(f"checkpoint of another network: {error}") from error
    if optimiser is None:
        return
    parameters = dict(model.named_parameters())
    groups: dict[str, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, key, parameter = name.split(".", 2)
            if value.dim():  # with the strides of the parameter, whatever its memory format
                value = torch.empty_like(parameters[parameter].data).copy_(value)
            groups.setdefault(parameter, {})[key] = value
    states = optimiser.state_dict()
    order = [name for name, parameter in parameters.items() if parameter.requires_grad]
    states["state"] = {i: groups[name] for i, name in enumerate(order) if name in groups}
    optimiser.load_state_dict(states)


def _adam_states(
    model: nn.Module, optimiser: torch.optim.Optimizer
) -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, optimiser.state[parameter])
        for name, parameter in model.named_parameters()
        if parameter in optimiser.state
    ]
