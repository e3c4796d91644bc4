"""When a training loop logs, chooses and saves, and how fast it goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mol_model.config.settings import TrainingConfig


@dataclass(frozen=True)
class StepReport:
    """One logged step."""

    step: int
    steps: int
    terms: dict[str, float]
    clips_per_second: float
    waiting: float
    """Share of the time since the last report that the loop waited for clips."""


@dataclass(frozen=True)
class Due:
    """What is to be done after a step."""

    log: bool
    choose: bool
    """Look at the people by whom the model is chosen."""
    save: bool
    """The state from which the fold continues; after the last step there is none."""

    @property
    def anything(self) -> bool:
        """Whether the loss must be known now, and cannot be waited for."""
        return self.log or self.choose or self.save


def due_after(done: int, training: TrainingConfig, *, watched: bool) -> Due:
    """What is due after so many steps.

    Args:
        done: Steps, from 1.
        training: How often.
        watched: Whether somebody is held out to choose the model by.
    """
    last = done == training.steps
    return Due(
        log=last or done % training.log_every == 0,
        choose=watched and (last or done % training.evaluate_every == 0),
        save=not last and done % training.checkpoint_every == 0,
    )


class Pace:
    """Clips a second, and the share of the time that was spent waiting for clips."""

    def __init__(self) -> None:
        self._restart()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time in the block is waited."""
        asked = time.monotonic()
        yield
        self._waited += time.monotonic() - asked

    def count(self, clips: int) -> None:
        """So many clips were learned from."""
        self._clips += clips

    def measure(self) -> tuple[float, float]:
        """Clips a second and share of waiting since the last measure."""
        passed = max(time.monotonic() - self._since, 1e-9)
        measured = self._clips / passed, self._waited / passed
        self._restart()
        return measured

    def _restart(self) -> None:
        self._since, self._clips, self._waited = time.monotonic(), 0, 0.0
