"""Which model of a fold is tested, and which people may decide it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from mol_model.config.settings import RunConfig
from mol_model.protocols.folds import Fold, Sample
from mol_model.training.checkpoint import (
    CheckpointRecord,
    has_checkpoint,
    read_record,
    save_checkpoint,
)
from mol_model.training.seeding import Stream, generator_of
from mol_pipeline.contract.errors import TrainingError

SELECTIONS = {
    "last": "last: the model after the last step; no test fold was looked at",
    "validation": "validation: the best model on people held out inside each training part; no "
    "test fold was looked at",
    "test-best": "test-best: OPTIMISTIC, the best model on the test fold itself, as the authors' "
    "release chooses; not comparable with honest results",
}
"""How the model that is tested was chosen, for every output."""


def watched_videos(
    samples: list[Sample], fold: Fold, config: RunConfig
) -> tuple[Fold, tuple[int, ...]]:
    """The fold that is trained, and the videos by which its model is chosen.

    Validation takes whole people out of the training part, drawn by the seed, and never the
    last person of it.

    Raises:
        TrainingError: If the training part has too few people to hold one out.
    """
    training = config.training
    if training.selection == "last":
        return fold, ()
    if "expression" not in config.model.tasks():
        raise TrainingError(
            f"training.selection={training.selection}: a model without the expression head has no "
            "accuracy to be chosen by; choose last"
        )
    if training.selection == "test-best":
        if not fold.test:
            raise TrainingError(
                f"fold {fold.name}: has no test part for training.selection=test-best; choose last "
                "or validation"
            )
        return fold, fold.test
    people = sorted({samples[i].person for i in fold.train})
    if len(people) < 2:
        raise TrainingError(
            f"fold {fold.name}: one person in the training part; validation needs two, choose "
            "training.selection=last"
        )
    generator = generator_of(training.seed, fold.name, Stream.VALIDATION)
    order = [people[i] for i in torch.randperm(len(people), generator=generator)]
    held: set[str] = set()
    count = 0
    for person in order[:-1]:
        if count >= training.validation_share * len(fold.train) and held:
            break
        held.add(person)
        count += sum(samples[i].person == person for i in fold.train)
    kept = tuple(i for i in fold.train if samples[i].person not in held)
    watched = tuple(i for i in fold.train if samples[i].person in held)
    return replace(fold, train=kept), watched


def people_of_model(
    samples: Sequence[Sample], fold: Fold, config: RunConfig, start: CheckpointRecord | None
) -> set[str]:
    """Everybody whom the model of a fold knows.

    Args:
        samples: All videos.
        fold: As the protocol makes it.
        config: Settings; by `test-best` the test people choose the model.
        start: What training starts from, if not from weights drawn by the seed.
    """
    chosen = fold.test if config.training.selection == "test-best" else ()
    known = {samples[video].person for video in (*fold.train, *chosen)}
    return known | set(start.people if start else ())


def keep_best(
    path: Path, record: CheckpointRecord, step: int, score: float, model: nn.Module
) -> None:
    """Keep a model that beats the best so far; of equal ones the earlier stays."""
    if has_checkpoint(path):
        before = read_record(path)
        if before.step >= step or (before.score is not None and before.score >= score):
            return
    save_checkpoint(path, record.model_copy(update={"step": step, "score": score}), model)
