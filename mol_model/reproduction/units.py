"""Single runs of a table, and how far each of them is on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mol_model.clips.shards import ShardSet
from mol_model.config.run_layout import RUN_NAME
from mol_model.config.settings import RunConfig
from mol_model.protocols.folds import Fold
from mol_model.reproduction.document import Row
from mol_model.runs.directory import check_same, run_identity
from mol_model.runs.finished import finished_folds, load_finished, run_metrics
from mol_model.training.warm_start import start_record


@dataclass(frozen=True)
class Unit:
    """One run: a variant on its data with one seed."""

    run: str
    seed: int
    config: RunConfig
    data: ShardSet
    folds: tuple[Fold, ...]
    """Those to be done."""
    folds_of_protocol: int
    directory: Path

    @property
    def finished(self) -> int:
        """Folds that are done."""
        return len(finished_folds(self.directory, self.folds))

    def metrics(self) -> dict[str, Any] | None:
        """Pooled scores of its folds, None while they are not finished.

        Of these folds alone, whatever others were done in the same directory.

        Raises:
            ManifestError: If predictions are damaged.
            TrainingError: If they are of other videos or people.
        """
        if self.finished < len(self.folds):
            return None
        start = start_record(self.config.training.init_from)
        found = load_finished(self.directory, self.folds, self.data, self.config, start)
        of = self.folds_of_protocol
        return run_metrics(self.data, self.config, self.folds, found, of=of, start=start)

    def check_directory(self) -> None:
        """Refuse to continue a run of something else, before anything is trained.

        Raises:
            ConfigError: If the directory holds a run with other settings, shards or start.
            TrainingError: If there is no checkpoint to start from.
        """
        if (self.directory / RUN_NAME).is_file():
            start = start_record(self.config.training.init_from)
            started_from = start.tensors_sha256 if start else None
            check_same(
                self.directory, run_identity(self.data, self.config, started_from), self.config
            )


@dataclass(frozen=True)
class PeerUnit:
    """One row of somebody else's predictor."""

    row: Row
    data: ShardSet
    folds: tuple[Fold, ...]
    directory: Path
    predictor: str | None
    """As the user named it; None if they did not."""
