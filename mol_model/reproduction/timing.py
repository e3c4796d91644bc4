"""What a step costs here: a few real steps, from which the time of all runs is estimated."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mol_model.networks.summary import summarise
from mol_model.reproduction.units import Unit
from mol_model.runs.run import SharedClips, choose_device
from mol_model.training.fold import train_fold
from mol_model.training.pace import StepReport

MEASURED_STEPS = 3
"""After one that warms up."""


@dataclass(frozen=True)
class Timing:
    """How fast one run trains here."""

    run: str
    device: str
    steps: int
    """That were measured."""
    seconds_per_step: float
    cost: float
    """Of one of its steps: floating-point operations of the forward pass of a batch."""


def measure(units: Sequence[Unit], device: str, steps: int = MEASURED_STEPS) -> Timing:
    """Train a few steps of the costliest network on the real clips, and throw them away.

    Args:
        units: Runs that are left; at least one.
        device: As the user named it.
        steps: After one that warms up.

    Raises:
        MolError: As training raises it.
    """
    place = choose_device(device)
    costs = {unit.run: (step_cost(unit), unit) for unit in units}
    cost, unit = max(costs.values(), key=lambda cost_and_unit: cost_and_unit[0])
    training = unit.config.training.model_copy(
        update={"steps": 1 + steps, "log_every": 1, "selection": "last"}
    )
    config = unit.config.model_copy(update={"training": training})
    shared = SharedClips(unit.data, place, config).get()
    ended: list[float] = []

    def note(report: StepReport) -> None:
        ended.append(time.monotonic())

    with TemporaryDirectory() as folder:
        train_fold(
            shared.source,
            unit.folds[0],
            config,
            Path(folder) / "fold",
            statistics=shared.statistics,
            on_step=note,
        )
    seconds = (ended[-1] - ended[0]) / steps
    return Timing(unit.run, str(place), steps, seconds, cost)


def step_cost(unit: Unit) -> float:
    """Floating-point operations of the forward pass of a batch, 10^9."""
    clips = min(unit.config.training.batch_size, len(unit.data.clips_of(unit.folds[0].train)))
    return float(summarise(unit.config)["gflop_per_clip"]) * clips


def estimate(units: Sequence[Unit], timing: Timing) -> float:
    """Seconds that the training of all folds that are left will take."""
    costs: dict[str, float] = {timing.run: timing.cost}
    seconds = 0.0
    for unit in units:
        if unit.run not in costs:
            costs[unit.run] = step_cost(unit)
        left = (len(unit.folds) - unit.finished) * unit.config.training.steps
        seconds += left * timing.seconds_per_step * costs[unit.run] / timing.cost
    return seconds


def estimate_text(units: Sequence[Unit], timing: Timing) -> str:
    """The estimate with what it stands on."""
    seconds = estimate(units, timing)
    shown = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    return (
        f"about {shown} of training left, one fold at a time on {timing.device}; measured: "
        f"{timing.steps} steps of {timing.run} at {timing.seconds_per_step:.2f} s, other runs by "
        "their floating-point operations; reading, tests and pictures come on top"
    )
