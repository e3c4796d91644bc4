"""Weights that training starts from: drawn by the seed, or those of another checkpoint."""

import logging
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mol_model.protocols.folds import Fold, Sample
from mol_model.training.checkpoint import (
    CheckpointRecord,
    load_checkpoint,
    model_weights,
    read_record,
    record_path,
)
from mol_pipeline.contract.errors import TrainingError
from mol_pipeline.contract.people import seen_before

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WarmStart:
    """A checkpoint that training starts from."""

    path: Path
    record: CheckpointRecord
    weights: dict[str, Tensor]
    """By their names in the network."""

    def check_people(self, samples: list[Sample], fold: Fold) -> None:
        """Refuse to test people whom the checkpoint was trained on.

        Of a checkpoint that does not know its people nobody can be refused: what comes of it is
        marked, see `marks.UNKNOWN_PEOPLE`.

        Raises:
            TrainingError: If there are such people.
        """
        seen = sorted(seen_before({samples[i].person for i in fold.test}, self.record.people))
        if seen:
            raise TrainingError(
                f"training.init_from={self.path}: was trained on {', '.join(seen[:5])}"
                f"{' and more' if len(seen) > 5 else ''}, whom fold {fold.name} tests; start from "
                "a checkpoint of other people"
            )

    def load_into(self, module: nn.Module) -> list[str]:
        """Copy the weights; returns the names of those left as they were.

        Only tensors of the expression head may differ in shape: its last layer by the number
        of classes, the others by the clip length.

        Raises:
            TrainingError: If the checkpoint is of another network.
        """
        state, weights = module.state_dict(), self.weights
        unfit = [
            name
            for name, value in state.items()
            if name not in weights or weights[name].shape != value.shape
        ]
        foreign = [name for name in unfit if not name.startswith("expression.")]
        if foreign:
            raise TrainingError(
                f"training.init_from={self.path}: is of another network, which differs in "
                f"{foreign[0]} and {len(foreign) - 1} more; give the same model settings"
            )
        fitting = {name: weights[name] for name in state if name not in unfit}
        module.load_state_dict(fitting, strict=False)
        if unfit:
            logger.warning("%s: drawn anew, of another shape: %s", self.path, ", ".join(unfit))
        return unfit


def start_record(path: str | None) -> CheckpointRecord | None:
    """What the checkpoint of `training.init_from` is; its tensors are not read.

    Raises:
        TrainingError: As `open_warm_start`.
    """
    return None if path is None else read_record(record_path(Path(path)))


def open_warm_start(path: str | None) -> WarmStart | None:
    """The checkpoint of `training.init_from`, by its path with or without ending.

    Raises:
        TrainingError: If it is missing, damaged or of another format.
    """
    if path is None:
        return None
    where = record_path(Path(path))
    record, tensors = load_checkpoint(where)
    return WarmStart(where, record, model_weights(tensors))
