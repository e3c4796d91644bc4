"""Single runs of a table, and how far each of them is on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mol_model.config import RunConfig
from mol_model.data import ShardSet
from mol_model.fold_state import RUN_NAME
from mol_model.predictions import PREDICTIONS_NAME
from mol_model.protocols import Fold
from mol_model.reproduction.document import Row
from mol_model.run_directory import check_same, read_run, run_identity
from mol_model.run_documents import Metrics, read_checked
from mol_model.runs import METRICS_NAME
from mol_pipeline.errors import ManifestError


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
        folds = self.directory / "folds"
        return sum((folds / fold.name / PREDICTIONS_NAME).is_file() for fold in self.folds)

    def metrics(self) -> dict[str, Any] | None:
        """Pooled scores of the finished run, None while it is not finished."""
        path = self.directory / METRICS_NAME
        if self.finished < len(self.folds) or not path.is_file():
            return None
        advice = f"remove it and run 'moltrain fit --out {self.directory}' again"
        metrics = read_checked(path, Metrics, ManifestError, advice, needs=("folds",))
        return metrics if metrics["folds"] == len(self.folds) else None

    def check_directory(self) -> None:
        """Refuse to continue a run of something else, before anything is trained.

        Raises:
            ConfigError: If the directory holds a run with other settings or shards.
        """
        if (self.directory / RUN_NAME).is_file():
            started_from = read_run(self.directory).get("started_from")
            identity = run_identity(self.data, self.config, started_from)
            check_same(self.directory, identity, self.config)


@dataclass(frozen=True)
class PeerUnit:
    """One row of somebody else's predictor."""

    row: Row
    data: ShardSet
    folds: tuple[Fold, ...]
    directory: Path
    predictor: str | None
    """As the user named it; None if they did not."""
