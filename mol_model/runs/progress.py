"""Progress of a run on stderr: a line per logged step or fold, with the time left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mol_model.runs.fold_jobs import RunProgress

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def run_progress() -> Iterator[Callable[[RunProgress], None]]:
    """Yield a listener for `mol_model.runs.run.fit`."""
    started = time.monotonic()
    last = started - SECONDS_BETWEEN_LINES
    shares: dict[str, float] = {}
    finished_at_start: int | None = None

    def listen(progress: RunProgress) -> None:
        nonlocal last, finished_at_start
        if progress.note:
            _say(progress.note)
            return
        if finished_at_start is None:
            finished_at_start = progress.folds_done - (progress.step is None)
        step = progress.step
        shares[progress.fold] = step.step / step.steps if step else 1.0
        now = time.monotonic()
        if step is not None and now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        done = sum(shares.values())
        left = (now - started) / done * (progress.folds - finished_at_start - done)
        head = f"folds {progress.folds_done}/{progress.folds}, {max(left, 0.0):.0f} s left"
        if step is None:
            _say(f"{head}: {progress.fold} finished")
        else:
            terms = ", ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
            _say(
                f"{head}: {progress.fold} step {step.step}/{step.steps}, "
                f"{step.clips_per_second:.1f} clips/s, loss {terms}"
            )

    yield listen


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
