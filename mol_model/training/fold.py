"""Train one fold: the loop, its log, its checkpoints.

Everything drawn by chance in a step follows from (seed, fold, step), so a run that was
stopped continues to the same numbers without any state of a generator.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mol_model import distributed
from mol_model.clips.batch import ClipBatch
from mol_model.clips.source import ClipSource
from mol_model.clips.sums import ClipStatistics, clip_statistics
from mol_model.clips.views import Normalisation
from mol_model.config.run_layout import BEST_NAME, CHECKPOINT_NAME
from mol_model.config.settings import RunConfig
from mol_model.networks.build import BuiltNetwork
from mol_model.networks.precision import autocast
from mol_model.protocols.folds import Fold
from mol_model.scoring.evaluation import recognition_accuracy
from mol_model.training.at_once import fit_at_once
from mol_model.training.batches import BatchPlan
from mol_model.training.beginning import (
    first_record,
    refuse_other_checkpoint,
    seeded_network,
    start_weights,
)
from mol_model.training.checkpoint import (
    CheckpointRecord,
    has_checkpoint,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from mol_model.training.metric_log import MetricLog
from mol_model.training.optimiser import (
    class_weights,
    compiled,
    learning_rate,
    make_optimiser,
    unit_weights,
)
from mol_model.training.pace import Due, Pace, StepReport, due_after
from mol_model.training.seeding import Stream, seed_of
from mol_model.training.selection import keep_best, people_of_model, watched_videos
from mol_model.training.step import (
    augmented,
    draw_pairs,
    known_share,
    model_loss,
    training_labels,
)
from mol_model.training.warm_start import WarmStart, open_warm_start
from mol_pipeline.contract.errors import StoppedOnRequest, TrainingError
from mol_pipeline.contract.stopping import asked_to_stop


@dataclass(frozen=True)
class _Pending:
    """A step whose loss has not been looked at: a device works ahead of this process."""

    step: int
    clips: tuple[int, ...]
    terms: dict[str, Tensor]


def train_fold(
    source: ClipSource,
    fold: Fold,
    config: RunConfig,
    directory: Path,
    *,
    statistics: ClipStatistics | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> tuple[BuiltNetwork, CheckpointRecord]:
    """Train on a fold's training part, or continue; returns the chosen model.

    Args:
        source: The clips, on the device that computes.
        fold: Whose training part is used. Its test part is touched only if
            `training.selection` is `test-best`.
        config: All settings.
        directory: For `checkpoint.*`, `metrics.jsonl` and TensorBoard.
        statistics: Of all clips; taken of the training part if None.
        on_step: Called for every logged step.

    Raises:
        TrainingError: If the loss is not finite, a checkpoint is of other settings, or the
            fold cannot be trained; the last checkpoint stays.
        StoppedOnRequest: If a stop signal came; the state is saved.
    """
    return _FoldTraining(source, fold, config, directory, statistics, on_step).run()


class _FoldTraining:
    """State of a fold while it trains."""

    def __init__(
        self,
        source: ClipSource,
        fold: Fold,
        config: RunConfig,
        directory: Path,
        statistics: ClipStatistics | None,
        on_step: Callable[[StepReport], None],
    ) -> None:
        training, data = config.training, source.data
        self.source, self.config, self.directory, self.on_step = source, config, directory, on_step
        self.checkpoint, self.best = directory / CHECKPOINT_NAME, directory / BEST_NAME
        self.fold, self.watched = watched_videos(data.samples, fold, config)
        self.clips = data.clips_of(self.fold.train)
        self.labels = training_labels(data, self.fold, config)
        start = open_warm_start(training.init_from)
        self.people = people_of_model(data.samples, fold, config, start.record if start else None)
        self.model = seeded_network(config, fold.name, source.device)
        self.optimiser = make_optimiser(self.model.module, training, source.device)
        self.record = self._continue(start) or self._begin(start, statistics)
        self.normalisation = Normalisation(self.record.mean, self.record.std)
        self.weights = self._class_weights()
        self.network = compiled(self._shared(), training)

    def _continue(self, start: WarmStart | None) -> CheckpointRecord | None:
        """Take up the checkpoint of an interrupted run, if there is one."""
        if not has_checkpoint(self.checkpoint):
            return None
        record, tensors = load_checkpoint(self.checkpoint)
        expected = first_record(
            self.source.data,
            self.fold,
            self.config,
            self.people,
            start,
            Normalisation(record.mean, record.std),
        )
        refuse_other_checkpoint(self.checkpoint, record, expected)
        done = record.step >= self.config.training.steps
        restore(tensors, self.model.module, None if done else self.optimiser)
        return record

    def _begin(
        self, start: WarmStart | None, statistics: ClipStatistics | None
    ) -> CheckpointRecord:
        """Weights and statistics of a new run, from the training part alone."""
        statistics = statistics or clip_statistics(self.source, self.clips)
        samples = self.source.data.samples
        start_weights(self.model, start, samples, self.fold, statistics, self.clips)
        return first_record(
            self.source.data,
            self.fold,
            self.config,
            self.people,
            start,
            statistics.normalisation(self.clips),
        )

    def _class_weights(self) -> Tensor | None:
        """Weight of each class of the training part; None if all weigh alike."""
        if self.config.training.class_weights == "none":
            return None
        labels = self.labels[self.clips]
        if labels.dim() > 1:
            return unit_weights(labels).to(self.source.device)
        classes = len(self.source.data.classes)
        return class_weights(labels.tolist(), classes).to(self.source.device)

    def _shared(self) -> BuiltNetwork:
        """The network as all processes train it."""
        if distributed.count() == 1:
            return self.model
        unused = self.model.definition.has_unused(self.model.settings)
        shared = distributed.share(self.model.module, self.source.device, some_unused=unused)
        return self.model.through(shared)

    def run(self) -> tuple[BuiltNetwork, CheckpointRecord]:
        """Train what is left; returns the chosen model and its record."""
        start, steps = self.record.step, self.config.training.steps
        if start < steps and self.model.fits_at_once:
            self._fit_at_once()
        elif start < steps:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.model.module.train()
            plan, part = self._plan()
            whole = [plan.at(step) for step in range(start, steps)]
            with (
                MetricLog(self.directory, keep_steps=start, write=distributed.rank() == 0) as log,
                closing(self.source.batches([clips[part] for clips in whole])) as batches,
            ):
                self._loop(start, whole, part, batches, log)
            # The state of Adam is of no more use.
            self._save(steps, keep_optimiser=False)
        distributed.wait()
        if not self.watched:
            return self.model, self.record
        record, tensors = load_checkpoint(self.best)
        restore(tensors, self.model.module)
        return self.model, record

    def _fit_at_once(self) -> None:
        """Train a network that takes all clips of the training part together."""
        self.directory.mkdir(parents=True, exist_ok=True)
        seen = (self.labels, self.normalisation, self.config)
        fit_at_once(self.model, self.source, self.clips, *seen)
        if self.watched:
            self._evaluate(self.config.training.steps)
        self._save(self.config.training.steps, keep_optimiser=False)

    def _plan(self) -> tuple[BatchPlan, slice]:
        """The clips of each step, and which of them are this process's."""
        training, data = self.config.training, self.source.data
        size = min(training.batch_size, len(self.clips))
        if distributed.count() > 1 and len(self.clips) < training.batch_size:
            size -= size % distributed.count()
        part = distributed.own_part(size)
        shards = data.shards_of(self.clips)
        return BatchPlan(self.clips, size, training.seed, self.fold.name, shards), part

    def _loop(
        self,
        start: int,
        plan: Sequence[list[int]],
        part: slice,
        batches: Iterator[ClipBatch],
        log: MetricLog,
    ) -> None:
        training = self.config.training
        pending: _Pending | None = None
        pace = Pace()
        for step, whole in enumerate(plan, start):
            with pace.waiting():
                batch = next(batches)
            terms = self._step(step, whole, part, batch)
            self._look_at(pending)
            pending = _Pending(step, batch.clips, terms)
            pace.count(len(whole))
            due = due_after(step + 1, training, watched=bool(self.watched))
            if due.anything:
                self._look_at(pending)
            if due.log:
                self._report(step, terms, pace, log)
            if due.choose:
                self._evaluate(step + 1)
            self._save_or_stop(step + 1, due, pending)

    def _report(self, step: int, terms: dict[str, Tensor], pace: Pace, log: MetricLog) -> None:
        """Write a line of the log and tell whoever listens; the pace is measured anew."""
        training, done = self.config.training, step + 1
        values = {name: distributed.mean_of(value.detach()).item() for name, value in terms.items()}
        clips_per_second, waiting = pace.measure()
        report = StepReport(done, training.steps, dict(values), clips_per_second, waiting)
        values["learning_rate"] = learning_rate(training, step)
        log.write(done, values, report.clips_per_second, report.waiting)
        self.on_step(report)

    def _save_or_stop(self, done: int, due: Due, pending: _Pending) -> None:
        """Save where it is due, or where somebody asks to stop.

        Raises:
            StoppedOnRequest: If somebody does, before the last step.
        """
        steps = self.config.training.steps
        if done == steps:
            return
        stop = distributed.any_of(asked_to_stop(), self.source.device)
        if stop or due.save:
            self._look_at(pending)
            self._save(done, keep_optimiser=True)
        if stop:
            raise StoppedOnRequest(
                f"fold {self.fold.name}: stopped on request after step {done} of {steps}; the "
                "state is saved: run again to continue"
            )

    def _step(
        self, step: int, whole: list[int], part: slice, batch: ClipBatch
    ) -> dict[str, Tensor]:
        """One step of the optimiser; its loss is not waited for."""
        training, name = self.config.training, self.fold.name
        batch = replace(batch, labels=self.labels[list(batch.clips)].to(self.source.device))
        inputs = augmented(batch, len(whole), part, self.normalisation, self.config, name, step)
        # Dropout draws from the global generator: it, too, follows from the step.
        seed = seed_of(training.seed, name, Stream.DROPOUT, step, distributed.rank())
        torch.manual_seed(seed)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(training, step)
        with autocast(training, self.source.device):
            terms = model_loss(
                self.network,
                inputs,
                self.config,
                self.weights,
                draw_pairs(self.config, name, step),
                self._weight_of_part(whole, part),
            )
        self.optimiser.zero_grad(set_to_none=True)
        terms["total"].backward()
        if training.clip_gradient is not None:
            torch.nn.utils.clip_grad_norm_(self.model.module.parameters(), training.clip_gradient)
        self.optimiser.step()
        return terms

    def _weight_of_part(self, whole: list[int], part: slice) -> float:
        """Weight of this process's labels, over an even share of that of the whole batch."""
        if distributed.count() == 1:
            return 1.0
        if self.labels.dim() > 1:
            return known_share(self.labels[whole], part) * distributed.count()
        if self.weights is None:
            return 1.0
        weights = self.weights.cpu()[self.labels[whole]]
        return float(weights[part].sum() / weights.sum()) * distributed.count()

    def _look_at(self, pending: _Pending | None) -> None:
        """Refuse a loss that is not finite.

        Raises:
            TrainingError: With the step, its clips and the terms.
        """
        if pending is None:
            return
        broken = not bool(torch.isfinite(pending.terms["total"]))
        if not distributed.any_of(broken, self.source.device):
            return
        names = ", ".join(self.source.data.clip_name(clip) for clip in pending.clips)
        parts = {name: value.item() for name, value in pending.terms.items()}
        raise TrainingError(
            f"fold {self.fold.name}, step {pending.step}: the loss is not finite ({parts}); clips: "
            f"{names}; lower training.learning_rate or look at these clips; the last checkpoint is "
            f"{self.checkpoint}.json"
        )

    def _evaluate(self, done: int) -> None:
        if distributed.rank() == 0:
            score = recognition_accuracy(self.model, self.source, self.watched, self.normalisation)
            keep_best(self.best, self.record, done, score, self.model.module)
        distributed.wait()

    def _save(self, done: int, *, keep_optimiser: bool) -> None:
        self.record = self.record.model_copy(update={"step": done})
        if distributed.rank() == 0:
            optimiser = self.optimiser if keep_optimiser else None
            save_checkpoint(self.checkpoint, self.record, self.model.module, optimiser)
