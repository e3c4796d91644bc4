"""Weights of the authors' released code as a network, or as a checkpoint of ours."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mol_model.config.mol import ModelConfig
from mol_model.config.settings import RunConfig
from mol_model.networks.mol.build import build_network
from mol_model.networks.mol.network import MOL
from mol_model.networks.mol.release.weights import (
    ImportReport,
    bare_names,
    convert_state,
    read_release,
    release_classes,
)
from mol_model.training.checkpoint import CheckpointRecord, record_path, save_checkpoint


def load_release(source: Path | str | Mapping[str, Tensor], classes: int) -> MOL:
    """Build the release's network and load weights of the authors' released code.

    Args:
        source: A file (read with `weights_only=True`) or a state dict.
        classes: Expression classes of the checkpoint.

    Returns:
        The network in eval mode, in the precision of the weights.

    Raises:
        TrainingError: If the file cannot be read, or keys are missing or unknown.

    Source:
        Key names and behaviour of the release: decision record 0011.
    """
    state = read_release(Path(source)) if isinstance(source, Path | str) else bare_names(source)
    model, report = _fill_release(state, classes)
    report.require_complete("the state dict" if isinstance(source, Mapping) else source)
    return model


def _fill_release(state: Mapping[str, Tensor], classes: int) -> tuple[MOL, ImportReport]:
    """The release's network with what a state dict has for it, and what became of the keys."""
    model = build_network(ModelConfig(flavour="release", classes=classes))
    converted, report = convert_state(state, model)
    if converted:
        model.to(next(iter(converted.values())).dtype)
    model.load_state_dict(converted, strict=False)
    return model.eval(), report


def import_release_file(path: Path, out: Path | None = None) -> ImportReport:
    """Report on a file of the authors' released code; write a checkpoint of ours if asked.

    Args:
        path: The file, read with `weights_only=True`.
        out: Checkpoint to write, without ending; nothing is written if keys are missing.

    Raises:
        TrainingError: If the file cannot be read.
    """
    state = read_release(path)
    classes = release_classes(state)
    model, report = _fill_release(state, classes)
    if out is None or report.missing or report.unknown:
        return report
    record = CheckpointRecord(
        config=RunConfig(model=ModelConfig(flavour="release", classes=classes)),
        classes=tuple(f"class {label}" for label in range(classes)),
        mapping="unknown",
        fold="release",
        step=0,
        mean=0.0,
        std=1.0,
        manifest_hash="",
        synthetic=False,
        people_complete=False,
        selection="by the authors, unknown",
    )
    save_checkpoint(record_path(out), record, model)
    return report
