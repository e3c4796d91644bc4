"""Which videos train and which test. Folds split by subject."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mol_pipeline.errors import TrainingError


@dataclass(frozen=True)
class Sample:
    """One video that takes part: who it shows and its class."""

    subject: str
    """Unique over databases."""
    label: int


@dataclass(frozen=True)
class Fold:
    """Positions of the training and of the test videos."""

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]


def leave_one_subject_out(samples: Sequence[Sample], classes: Sequence[str]) -> list[Fold]:
    """One fold per subject, in the order of their names; none is empty.

    Raises:
        TrainingError: If there are fewer than two subjects, or a class has no video.

    Source:
        MOL Sec. 4.1.2.
    """
    counts = Counter(sample.label for sample in samples)
    empty = [name for label, name in enumerate(classes) if not counts[label]]
    if empty:
        raise TrainingError(
            f"no video of class {', '.join(empty)}: leave one subject out over "
            f"{len(classes)} classes needs all of them; choose other --classes or shards"
        )
    subjects = sorted({sample.subject for sample in samples})
    if len(subjects) < 2:
        raise TrainingError(
            f"one subject only ({subjects[0]}): leave one subject out needs at least two"
        )
    return [
        Fold(
            name=subject,
            train=tuple(i for i, sample in enumerate(samples) if sample.subject != subject),
            test=tuple(i for i, sample in enumerate(samples) if sample.subject == subject),
        )
        for subject in subjects
    ]
