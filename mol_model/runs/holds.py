"""One process at a time in a fold, and at the tables of a run.

Tasks of a SLURM array train different folds of one run on purpose, so each fold is held by the
process that trains it, and the run only for as long as its tables are opened or written.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from mol_pipeline.contract.errors import TrainingError
from mol_pipeline.contract.holding import Busy, held

logger = logging.getLogger(__name__)

HELD_AS = "moltrain"

PATIENCE_S = 10.0
"""A fold process whose main process was killed ends within a second; a rerun at once waits."""

TABLES_PATIENCE_S = 120.0
"""Tables of a run, with its report, are written in seconds."""


@contextlib.contextmanager
def held_alone(directory: Path, *, patience_s: float | None = None) -> Iterator[None]:
    """Hold a directory, made if it is not there, and clear away what a killed holder left.

    Args:
        directory: Of a fold or a run.
        patience_s: Seconds to wait for another holder; `PATIENCE_S` if None.

    Raises:
        TrainingError: If another process holds it; the text says which.
        OSError: If nothing can be written there.
    """
    patience_s = PATIENCE_S if patience_s is None else patience_s
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience_s
    told = False
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(held(directory, HELD_AS))
                break
            except Busy as busy:
                if time.monotonic() > deadline:
                    raise TrainingError(
                        f"{directory}: {busy}; two processes never work on one fold: wait for that "
                        "one or end it, then run again to continue"
                    ) from None
                if not told:
                    logger.warning("%s: %s; waiting up to %.0f s", directory, busy, patience_s)
                told = True
                time.sleep(0.2)
        for part in directory.glob(".*.part"):  # of a file that was being written
            part.unlink(missing_ok=True)
        yield
