"""Which clips a step takes: endless batches, shuffled anew each epoch."""

import itertools
from collections.abc import Iterator, Sequence

import torch

from mol_model.training.seeding import generator_of

SHUFFLED_SHARDS = 16
"""Shards that are mixed at a time. As many files are open and read at once; a database of
no more shards is shuffled fully."""


def batch_plan(
    clips: Sequence[int], size: int, seed: int, fold: str, shards: Sequence[int] | None = None
) -> Iterator[list[int]]:
    """Endless batches: each epoch a new order, every clip once; a rest joins the next epoch.

    Args:
        clips: Numbers of the clips.
        size: Clips of a batch.
        seed: Of the run.
        fold: Its name.
        shards: The shard that each clip lies in. Where there are many, their order is drawn
            first and the clips of `SHUFFLED_SHARDS` of them are mixed at a time, so that
            streaming from a slow disk reads few files at once.
    """
    waiting: list[int] = []
    for epoch in itertools.count():
        waiting += epoch_order(clips, seed, fold, epoch, shards)
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]


def epoch_order(
    clips: Sequence[int], seed: int, fold: str, epoch: int, shards: Sequence[int] | None = None
) -> list[int]:
    """All clips once, in the order of an epoch."""
    generator = generator_of(seed, fold, 1, epoch)
    if shards is None or len(set(shards)) <= SHUFFLED_SHARDS:
        order = torch.randperm(len(clips), generator=generator).tolist()
        return [clips[i] for i in order]
    of_shard: dict[int, list[int]] = {}
    for clip, shard in zip(clips, shards, strict=True):
        of_shard.setdefault(shard, []).append(clip)
    names = list(of_shard)
    drawn = [names[i] for i in torch.randperm(len(names), generator=generator).tolist()]
    order = []
    for first in range(0, len(drawn), SHUFFLED_SHARDS):
        group = drawn[first : first + SHUFFLED_SHARDS]
        together = [clip for shard in group for clip in of_shard[shard]]
        order += [together[i] for i in torch.randperm(len(together), generator=generator).tolist()]
    return order
