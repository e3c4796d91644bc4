"""Where and how a run is done, as every command that trains takes it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunOptions:
    """Where and how a run is done; changes no number."""

    out: Path
    device: str = "auto"
    jobs: int | None = None
    """Folds at once; one a core on a CPU, one on a GPU if None."""
    folds: tuple[str, ...] = ()
    """Only these folds; all if empty."""
    overwrite: bool = False
    """Start anew instead of continuing."""
