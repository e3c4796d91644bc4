"""Train one fold: the loop, its log, its checkpoints.

Everything drawn by chance in a step follows from (seed, fold, step), so a run that
was stopped continues to the same numbers without any state of a generator.
"""

import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mol_model.build import build_network
from mol_model.checkpoint import (
    CheckpointRecord,
    load_checkpoint,
    read_record,
    restore,
    save_checkpoint,
)
from mol_model.config import RunConfig
from mol_model.data import ShardSet
from mol_model.evaluation import recognition_accuracy
from mol_model.losses import LossTerms, joint_loss
from mol_model.metric_log import MetricLog
from mol_model.network import MOL
from mol_model.protocols import Fold
from mol_model.transforms import ClipInputs, Normalisation, apply_view, random_view
from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.errors import TrainingError

SELECTIONS = {
    "last": "last: the model after the last step; no test fold was looked at",
    "validation": "validation: the best model on people held out inside each training part; no "
    "test fold was looked at",
    "test-best": "test-best: OPTIMISTIC, the best model on the test fold itself, as the authors' "
    "release chooses; not comparable with honest results",
}
"""How the model that is tested was chosen, for every output."""


@dataclass(frozen=True)
class StepReport:
    """One logged step."""

    step: int
    steps: int
    terms: dict[str, float]
    clips_per_second: float


def seed_of(seed: int, fold: str, *rest: int) -> int:
    """One number from a run's seed, a fold's name and more; stable over machines."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(fold.encode()), *rest])
    return int(mixed.generate_state(1, np.uint64)[0] >> 1)


def grey_statistics(data: ShardSet, clips: Sequence[int]) -> Normalisation:
    """Mean and standard deviation of the grey values of some clips; one clip in memory."""
    count = total = squares = 0.0
    for clip in clips:
        frames = data.read([clip]).frames.double()
        count += frames.numel()
        total += float(frames.sum())
        squares += float(frames.square().sum())
    mean = total / count
    return Normalisation(mean=mean, std=max(math.sqrt(squares / count - mean**2), 1.0))


def batch_plan(clips: Sequence[int], size: int, seed: int, fold: str) -> Iterator[list[int]]:
    """Endless batches: each epoch a new order, every clip once; a rest joins the next epoch."""
    epoch = 0
    waiting: list[int] = []
    while True:
        generator = torch.Generator().manual_seed(seed_of(seed, fold, 1, epoch))
        order = torch.randperm(len(clips), generator=generator).tolist()
        waiting += [clips[i] for i in order]
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
        epoch += 1


def learning_rate(config: RunConfig, step: int) -> float:
    """Rate of a step (from 0)."""
    training = config.training
    if training.schedule == "constant":
        return training.learning_rate
    warmup = min(1.0, (step + 1) / max(1, training.steps // 20))
    return training.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * step / training.steps))


def class_weights(labels: Sequence[int], classes: int) -> Tensor:
    """Weights inverse to the clips of each class, with mean 1 over the clips."""
    counts = torch.bincount(torch.tensor(labels), minlength=classes).float()
    return counts.sum() / (classes * counts.clamp(min=1))


def train_fold(
    data: ShardSet,
    fold: Fold,
    config: RunConfig,
    directory: Path,
    *,
    device: torch.device,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> tuple[MOL, CheckpointRecord]:
    """Train on a fold's training part, or continue; returns the chosen model.

    Args:
        data: The shards.
        fold: Whose training part is used. Its test part is touched only if
            `training.selection` is `test-best`.
        config: All settings.
        directory: For `checkpoint.*`, `metrics.jsonl` and TensorBoard.
        device: Where to compute.
        on_step: Called for every logged step.

    Raises:
        TrainingError: If the loss is not finite; the last checkpoint stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    training = config.training
    fold, watched = watched_videos(data, fold, config)
    clips = data.clips_of(fold.train)
    torch.manual_seed(seed_of(training.seed, fold.name, 0))
    model = build_network(config.model).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    weights = None
    if training.class_weights == "balanced":
        labels = [data.samples[data.video_of_clip[clip]].label for clip in clips]
        weights = class_weights(labels, len(data.classes)).to(device)

    start = 0
    checkpoint = directory / "checkpoint"
    if checkpoint.with_suffix(".json").exists():
        record, tensors = load_checkpoint(checkpoint)
        if record.config != config or record.manifest_hash != data.manifest_hash:
            raise TrainingError(
                f"{checkpoint}.json: comes from other settings or data than this run"
            )
        restore(tensors, model, optimiser)
        start = record.step
        normalisation = Normalisation(record.mean, record.std)
    else:
        normalisation = grey_statistics(data, clips)
        record = CheckpointRecord(
            config=config,
            classes=data.classes,
            mapping=data.mapping,
            fold=fold.name,
            step=0,
            mean=normalisation.mean,
            std=normalisation.std,
            manifest_hash=data.manifest_hash,
            synthetic=data.synthetic,
            selection=training.selection,
        )
    best = directory / "best"
    if start >= training.steps:
        return _chosen(model, record, best, watched)

    plan = batch_plan(clips, min(training.batch_size, len(clips)), training.seed, fold.name)
    for _ in range(start):
        next(plan)
    wanted = (next(plan) for _ in range(start, training.steps))
    model.train()
    since, clips_done = time.monotonic(), 0
    with MetricLog(directory, keep_steps=start) as log:
        for step, batch in enumerate(data.batches(wanted), start=start):
            inputs = _augmented(data, batch.to(device), step, fold, config, normalisation)
            # Dropout draws from the global generator: it, too, follows from the step.
            torch.manual_seed(seed_of(training.seed, fold.name, 3, step))
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, step)
            terms = model_loss(model, inputs, config, weights, draw_pairs(config, fold.name, step))
            if not torch.isfinite(terms.total):
                names = ", ".join(data.clip_name(clip) for clip in batch.clips)
                parts = {name: value.item() for name, value in terms._asdict().items()}
                raise TrainingError(
                    f"fold {fold.name}, step {step}: the loss is not finite ({parts}); clips: "
                    f"{names}; lower training.learning_rate or look at these clips; the last "
                    f"checkpoint is {checkpoint}.json"
                )
            optimiser.zero_grad(set_to_none=True)
            terms.total.backward()
            if training.clip_gradient is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_gradient)
            optimiser.step()
            clips_done += len(batch.clips)
            done = step + 1
            if done % training.log_every == 0 or done == training.steps:
                rate = clips_done / max(time.monotonic() - since, 1e-9)
                since, clips_done = time.monotonic(), 0
                values = {name: value.item() for name, value in terms._asdict().items()}
                log.write(done, {**values, "learning_rate": learning_rate(config, step)}, rate)
                on_step(StepReport(done, training.steps, values, rate))
            if watched and (done % training.evaluate_every == 0 or done == training.steps):
                score = recognition_accuracy(model, data, watched, normalisation, device=device)
                _keep_best(best, record, done, score, model)
                model.train()
            if done % training.checkpoint_every == 0 and done < training.steps:
                record = record.model_copy(update={"step": done})
                save_checkpoint(checkpoint, record, model, optimiser)
    record = record.model_copy(update={"step": training.steps})
    save_checkpoint(checkpoint, record, model)  # the state of Adam is of no more use
    return _chosen(model, record, best, watched)


def watched_videos(data: ShardSet, fold: Fold, config: RunConfig) -> tuple[Fold, tuple[int, ...]]:
    """The fold that is trained, and the videos by which its model is chosen.

    Validation takes whole people out of the training part, drawn by the seed, and never the
    last person of it.

    Raises:
        TrainingError: If the training part has too few people to hold one out.
    """
    training = config.training
    if training.selection == "last":
        return fold, ()
    if not config.model.use_expression:
        raise TrainingError(
            f"training.selection={training.selection}: a model without the expression head has no "
            "accuracy to be chosen by; choose last"
        )
    if training.selection == "test-best":
        return fold, fold.test
    people = sorted({data.samples[i].person for i in fold.train})
    if len(people) < 2:
        raise TrainingError(
            f"fold {fold.name}: one person in the training part; validation needs two, choose "
            "training.selection=last"
        )
    generator = torch.Generator().manual_seed(seed_of(training.seed, fold.name, 5))
    order = [people[i] for i in torch.randperm(len(people), generator=generator)]
    held: set[str] = set()
    count = 0
    for person in order[:-1]:
        if count >= training.validation_share * len(fold.train) and held:
            break
        held.add(person)
        count += sum(data.samples[i].person == person for i in fold.train)
    kept = tuple(i for i in fold.train if data.samples[i].person not in held)
    watched = tuple(i for i in fold.train if data.samples[i].person in held)
    return Fold(name=fold.name, train=kept, test=fold.test, left_out=fold.left_out), watched


def _keep_best(path: Path, record: CheckpointRecord, step: int, score: float, model: MOL) -> None:
    """Keep a model that beats the best so far; of equal ones the earlier stays."""
    if path.with_suffix(".json").exists():
        before = read_record(path)
        if before.step >= step or (before.score is not None and before.score >= score):
            return
    save_checkpoint(path, record.model_copy(update={"step": step, "score": score}), model)


def _chosen(
    model: MOL, record: CheckpointRecord, best: Path, watched: tuple[int, ...]
) -> tuple[MOL, CheckpointRecord]:
    if not watched:
        return model, record
    record, tensors = load_checkpoint(best)
    restore(tensors, model)
    return model, record


def draw_pairs(config: RunConfig, fold: str, step: int) -> list[int] | None:
    """Pairs whose flow a step estimates, each as likely as any other; None for all."""
    count, wanted = config.model.frames - 1, config.training.flow_pairs
    if wanted is None or wanted >= count or not config.model.use_flow:
        return None
    generator = torch.Generator().manual_seed(seed_of(config.training.seed, fold, 4, step))
    return sorted(torch.randperm(count, generator=generator)[:wanted].tolist())


def model_loss(
    model: MOL,
    inputs: ClipInputs,
    config: RunConfig,
    weights: Tensor | None = None,
    flow_pairs: list[int] | None = None,
) -> LossTerms:
    """Forward pass and joint loss of a batch, over some or all pairs for the flow."""
    output = model(inputs.frames, flow_pairs)
    true_flow = inputs.flow if flow_pairs is None else inputs.flow[:, flow_pairs]
    return joint_loss(
        logits=output.expression,
        labels=inputs.labels,
        flow=output.flow,
        true_flow=true_flow,
        landmarks=output.landmarks,
        true_landmarks=inputs.landmarks,
        flow_weight=config.loss.flow_weight,
        landmark_weight=config.loss.landmark_weight,
        class_weights=weights,
        release_scaling=config.loss.release_scaling,
    )


def _augmented(data, batch, step, fold, config, normalisation) -> ClipInputs:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed_of(config.training.seed, fold.name, 2, step))
    view = random_view(
        len(batch.frames),
        ALIGNED_PX,
        config.model.crop_px,
        batch.frames.device,
        generator,
        random_crop=config.data.random_crop,
        flip=config.data.flip,
        brightness=config.data.brightness,
    )
    return apply_view(batch, view, normalisation, config.model.crop_px)


def read_metric_log(directory: Path) -> list[dict[str, float]]:
    """Lines of a fold's `metrics.jsonl`."""
    path = directory / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
