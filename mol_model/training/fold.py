"""Train one fold: the loop, its log, its checkpoints.

Everything drawn by chance in a step follows from (seed, fold, step), so a run that was
stopped continues to the same numbers without any state of a generator.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mol_model import distributed
from mol_model.clips.shards import ClipBatch, ShardSet
from mol_model.clips.source import ClipSource
from mol_model.clips.sums import ClipStatistics, clip_statistics
from mol_model.clips.views import ClipInputs, Normalisation, apply_view, random_view
from mol_model.config.settings import RunConfig, settings_that_count
from mol_model.networks.mol.build import build_network, has_unused_branch
from mol_model.networks.mol.losses import LossTerms, joint_loss
from mol_model.networks.mol.network import MOL
from mol_model.networks.precision import autocast, set_precision
from mol_model.protocols.folds import Fold
from mol_model.scoring.evaluation import recognition_accuracy
from mol_model.training.batches import batch_plan
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
)
from mol_model.training.seeding import generator_of, seed_of, use_deterministic_kernels
from mol_model.training.selection import keep_best, people_of_model, watched_videos
from mol_model.training.warm_start import WarmStart, open_warm_start
from mol_pipeline.contract.errors import StoppedOnRequest, TrainingError
from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.contract.stopping import asked_to_stop


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
class _Pending:
    """A step whose loss has not been looked at: a device works ahead of this process."""

    step: int
    clips: tuple[int, ...]
    terms: LossTerms


def train_fold(
    source: ClipSource,
    fold: Fold,
    config: RunConfig,
    directory: Path,
    *,
    statistics: ClipStatistics | None = None,
    on_step: Callable[[StepReport], None] = lambda report: None,
) -> tuple[MOL, CheckpointRecord]:
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
        training = config.training
        self.source, self.config, self.directory, self.on_step = source, config, directory, on_step
        self.fold, self.watched = watched_videos(source.data.samples, fold, config)
        start = open_warm_start(training.init_from)
        self.people = people_of_model(
            source.data.samples, fold, config, start.record if start else None
        )
        self.clips = source.data.clips_of(self.fold.train)
        self.labels = training_labels(source.data, self.fold, config)
        self.checkpoint, self.best = directory / "checkpoint", directory / "best"
        use_deterministic_kernels(training.deterministic)
        set_precision(training, source.device)
        torch.manual_seed(seed_of(training.seed, fold.name, 0))
        self.model = build_network(config.model).to(source.device)
        if source.device.type == "cuda":
            self.model.channels_last()
        if distributed.count() > 1:
            distributed.join_batch_norms(self.model)
        self.optimiser = make_optimiser(self.model, training, source.device)
        self.record = self._continue(start) or self._begin(start, statistics)
        self.normalisation = Normalisation(self.record.mean, self.record.std)
        self.weights: Tensor | None = None
        if training.class_weights == "balanced":
            labels = self.labels[self.clips].tolist()
            self.weights = class_weights(labels, len(source.data.classes)).to(source.device)
        network: nn.Module = self.model
        if distributed.count() > 1:
            unused = has_unused_branch(config.model)
            network = distributed.share(network, source.device, some_unused=unused)
        self.network = compiled(network, training)

    def _continue(self, start: WarmStart | None) -> CheckpointRecord | None:
        """Take up the checkpoint of an interrupted run, if there is one."""
        if not has_checkpoint(self.checkpoint):
            return None
        record, tensors = load_checkpoint(self.checkpoint)
        if (
            settings_that_count(record.config) != settings_that_count(self.config)
            or record.manifest_hash != self.source.data.manifest_hash
        ):
            raise TrainingError(
                f"{self.checkpoint}.json: comes from other settings or data than this run; choose "
                "another --out, or --overwrite to start anew"
            )
        started_from = start.record.tensors_sha256 if start else None
        if (record.fold, set(record.people), record.started_from) != (
            self.fold.name,
            self.people,
            started_from,
        ):
            raise TrainingError(
                f"{self.checkpoint}.json: is of fold {record.fold}, of other people or of another "
                f"start than fold {self.fold.name} of this run; remove {self.directory}, or choose "
                "another --out"
            )
        done = record.step >= self.config.training.steps
        restore(tensors, self.model, None if done else self.optimiser)
        return record

    def _begin(
        self, start: WarmStart | None, statistics: ClipStatistics | None
    ) -> CheckpointRecord:
        """Weights and statistics of a new run, from the training part alone."""
        data, training = self.source.data, self.config.training
        statistics = statistics or clip_statistics(self.source, self.clips)
        normalisation = statistics.normalisation(self.clips)
        if start is None and self.model.landmarks is not None:
            margin = (ALIGNED_PX - self.model.crop_px) // 2
            shape = statistics.mean_landmarks(self.clips) - margin
            self.model.landmarks.start_at(torch.from_numpy(shape))
        if start is not None:
            start.check_people(data.samples, self.fold)
            start.load_into(self.model)
        return CheckpointRecord(
            config=self.config,
            classes=data.classes,
            mapping=data.mapping,
            fold=self.fold.name,
            step=0,
            mean=normalisation.mean,
            std=normalisation.std,
            manifest_hash=data.manifest_hash,
            synthetic=data.synthetic,
            people=tuple(sorted(self.people)),
            people_complete=start is None or start.record.knows_people,
            started_from=start.record.tensors_sha256 if start else None,
            selection=training.selection,
        )

    def run(self) -> tuple[MOL, CheckpointRecord]:
        """Train what is left; returns the chosen model and its record."""
        start, steps = self.record.step, self.config.training.steps
        if start < steps:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.model.train()
            wholes, part = self._plan(start, steps)
            with (
                MetricLog(self.directory, keep_steps=start, write=distributed.rank() == 0) as log,
                closing(self.source.batches([clips[part] for clips in wholes])) as batches,
            ):
                self._loop(start, wholes, part, batches, log)
            # The state of Adam is of no more use.
            self._save(steps, keep_optimiser=False)
        distributed.wait()
        if not self.watched:
            return self.model, self.record
        record, tensors = load_checkpoint(self.best)
        restore(tensors, self.model)
        return self.model, record

    def _plan(self, start: int, steps: int) -> tuple[list[list[int]], slice]:
        """The clips of each step that is left, and which of them are this process's."""
        training, data = self.config.training, self.source.data
        size = min(training.batch_size, len(self.clips))
        if distributed.count() > 1 and len(self.clips) < training.batch_size:
            size -= size % distributed.count()
        part = distributed.own_part(size)
        plan = batch_plan(
            self.clips, size, training.seed, self.fold.name, data.shards_of(self.clips)
        )
        for _ in range(start):
            next(plan)
        return [next(plan) for _ in range(start, steps)], part

    def _loop(
        self,
        start: int,
        wholes: list[list[int]],
        part: slice,
        batches: Iterator[ClipBatch],
        log: MetricLog,
    ) -> None:
        training, steps = self.config.training, start + len(wholes)
        pending: _Pending | None = None
        since, clips_done, waited = time.monotonic(), 0, 0.0
        for step, whole in enumerate(wholes, start=start):
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            terms = self._step(step, whole, part, batch)
            self._look_at(pending)
            pending = _Pending(step, batch.clips, terms)
            clips_done += len(whole)
            done = step + 1
            if done % training.log_every == 0 or done == steps:
                self._look_at(pending)
                values = {
                    name: distributed.mean_of(value.detach()).item()
                    for name, value in terms._asdict().items()
                }
                passed = max(time.monotonic() - since, 1e-9)
                report = StepReport(done, steps, dict(values), clips_done / passed, waited / passed)
                since, clips_done, waited = time.monotonic(), 0, 0.0
                values["learning_rate"] = learning_rate(training, step)
                log.write(done, values, report.clips_per_second, report.waiting)
                self.on_step(report)
            if self.watched and (done % training.evaluate_every == 0 or done == steps):
                self._look_at(pending)
                self._evaluate(done)
            if done == steps:
                continue
            stop = distributed.any_of(asked_to_stop(), self.source.device)
            if stop or done % training.checkpoint_every == 0:
                self._look_at(pending)
                self._save(done, keep_optimiser=True)
            if stop:
                raise StoppedOnRequest(
                    f"fold {self.fold.name}: stopped on request after step {done} of {steps}; the "
                    "state is saved: run again to continue"
                )

    def _step(self, step: int, whole: list[int], part: slice, batch: ClipBatch) -> LossTerms:
        """One step of the optimiser; its loss is not waited for."""
        training = self.config.training
        batch = replace(batch, labels=self.labels[list(batch.clips)].to(self.source.device))
        inputs = self._augmented(step, len(whole), part, batch)
        # Dropout draws from the global generator: it, too, follows from the step.
        torch.manual_seed(seed_of(training.seed, self.fold.name, 3, step, distributed.rank()))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(training, step)
        with autocast(training, self.source.device):
            terms = model_loss(
                self.network,
                inputs,
                self.config,
                self.weights,
                draw_pairs(self.config, self.fold.name, step),
                self._weight_of_part(whole, part),
            )
        self.optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        if training.clip_gradient is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip_gradient)
        self.optimiser.step()
        return terms

    def _weight_of_part(self, whole: list[int], part: slice) -> float:
        """Weight of this process's labels, over an even share of that of the whole batch."""
        if self.weights is None or distributed.count() == 1:
            return 1.0
        weights = self.weights.cpu()[self.labels[whole]]
        return float(weights[part].sum() / weights.sum()) * distributed.count()

    def _augmented(self, step: int, size: int, part: slice, batch: ClipBatch) -> ClipInputs:
        settings, crop = self.config.data, self.config.model.crop_px
        generator = generator_of(self.config.training.seed, self.fold.name, 2, step)
        view = random_view(
            size,
            ALIGNED_PX,
            crop,
            self.source.device,
            generator,
            random_crop=settings.random_crop,
            flip=settings.flip,
            brightness=settings.brightness,
        )
        return apply_view(batch, view.of(part), self.normalisation, crop)

    def _look_at(self, pending: _Pending | None) -> None:
        """Refuse a loss that is not finite.

        Raises:
            TrainingError: With the step, its clips and the terms.
        """
        if pending is None:
            return
        broken = not bool(torch.isfinite(pending.terms.total))
        if not distributed.any_of(broken, self.source.device):
            return
        names = ", ".join(self.source.data.clip_name(clip) for clip in pending.clips)
        parts = {name: value.item() for name, value in pending.terms._asdict().items()}
        raise TrainingError(
            f"fold {self.fold.name}, step {pending.step}: the loss is not finite ({parts}); clips: "
            f"{names}; lower training.learning_rate or look at these clips; the last checkpoint is "
            f"{self.checkpoint}.json"
        )

    def _evaluate(self, done: int) -> None:
        if distributed.rank() == 0:
            score = recognition_accuracy(self.model, self.source, self.watched, self.normalisation)
            keep_best(self.best, self.record, done, score, self.model)
            self.model.train()
        distributed.wait()

    def _save(self, done: int, *, keep_optimiser: bool) -> None:
        self.record = self.record.model_copy(update={"step": done})
        if distributed.rank() == 0:
            optimiser = self.optimiser if keep_optimiser else None
            save_checkpoint(self.checkpoint, self.record, self.model, optimiser)


def training_labels(data: ShardSet, fold: Fold, config: RunConfig) -> Tensor:
    """Label of each clip `[clips]`; in the control experiment those of training are permuted.

    The permutation is among the videos of the training part, so that the classes stay as
    frequent as they are. The labels that are tested are never touched.
    """
    labels = torch.tensor([sample.label for sample in data.samples])
    if config.data.shuffle_labels:
        videos = torch.tensor(fold.train)
        generator = generator_of(config.training.seed, fold.name, 6)
        labels[videos] = labels[videos[torch.randperm(len(videos), generator=generator)]]
    return labels[torch.tensor(data.video_of_clip)]


def draw_pairs(config: RunConfig, fold: str, step: int) -> list[int] | None:
    """Pairs whose flow a step estimates, each as likely as any other; None for all."""
    count, wanted = config.model.frames - 1, config.training.flow_pairs
    if wanted is None or wanted >= count or not config.model.use_flow:
        return None
    generator = generator_of(config.training.seed, fold, 4, step)
    return sorted(torch.randperm(count, generator=generator)[:wanted].tolist())


def model_loss(
    model: nn.Module,
    inputs: ClipInputs,
    config: RunConfig,
    weights: Tensor | None = None,
    flow_pairs: list[int] | None = None,
    weight_of_part: float = 1.0,
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
        weight_of_part=weight_of_part,
        release_scaling=config.loss.release_scaling,
    )
