"""Which clips a step takes: endless batches, shuffled anew each epoch."""

import functools
from collections.abc import Sequence

import torch

from mol_model.training.seeding import Stream, generator_of

SHUFFLED_SHARDS = 16
"""Shards that are mixed at a time. As many files are open and read at once; a database of
no more shards is shuffled fully."""


class BatchPlan:
    """Endless batches: each epoch a new order, every clip once; a rest joins the next epoch.

    A batch follows from its step alone, so a run that was stopped goes on without the steps before.

    Args:
        clips: Numbers of the clips, at least one.
        size: Clips of a batch.
        seed: Of the run.
        fold: Its name.
        shards: The shard that each clip lies in. Where there are many, their order is drawn
            first and the clips of `SHUFFLED_SHARDS` of them are mixed at a time, so that
            streaming from a slow disk reads few files at once.
    """

    def __init__(
        self,
        clips: Sequence[int],
        size: int,
        seed: int,
        fold: str,
        shards: Sequence[int] | None = None,
    ) -> None:
        self._count, self._size = len(clips), size

        @functools.lru_cache(maxsize=2)  # a batch lies in one epoch, or over the end of one
        def order(epoch: int) -> list[int]:
            return epoch_order(clips, seed, fold, epoch, shards)

        self._order = order

    def at(self, step: int) -> list[int]:
        """Clips of a step, from 0."""
        first = step * self._size
        places = (divmod(place, self._count) for place in range(first, first + self._size))
        return [self._order(epoch)[place] for epoch, place in places]


def epoch_order(
    clips: Sequence[int], seed: int, fold: str, epoch: int, shards: Sequence[int] | None = None
) -> list[int]:
    """All clips once, in the order of an epoch."""
    generator = generator_of(seed, fold, Stream.ORDER, epoch)
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
