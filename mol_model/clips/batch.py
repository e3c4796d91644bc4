"""Some clips in memory, as the shards have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClipBatch:
    """Clips as they are stored, one row each."""

    arrays: Mapping[str, Tensor]
    """Those that were asked for, by their names in a shard (`contract.shard_layout`), at least
    one: frames uint8 `[B, t, 144, 144]`, flow float16 `[B, t-1, 2, 144, 144]`, landmarks float32
    `[B, t, 68, 2]`."""
    labels: Tensor
    """int64 `[B]`; of action units `[B, units]`: 1, 0, and -1 where unknown."""
    clips: tuple[int, ...]
    """Numbers of the clips in their `ShardSet`."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    @property
    def device(self) -> torch.device:
        """Where the clips are."""
        return self.labels.device

    def tensors(self) -> tuple[Tensor, ...]:
        """All arrays, then the labels."""
        return (*self.arrays.values(), self.labels)

    def _with(self, tensors: Sequence[Tensor], clips: Sequence[int]) -> "ClipBatch":
        *arrays, labels = tensors
        return ClipBatch(dict(zip(self.arrays, arrays, strict=True)), labels, tuple(clips))

    def to(self, device: torch.device) -> "ClipBatch":
        """The same clips on a device."""
        moved = [tensor.to(device, non_blocking=True) for tensor in self.tensors()]
        return self._with(moved, self.clips)

    def pin_memory(self) -> "ClipBatch":
        """The same clips in memory from which a CUDA device copies by itself."""
        return self._with([tensor.pin_memory() for tensor in self.tensors()], self.clips)

    def take(self, rows: Sequence[int]) -> "ClipBatch":
        """Some of the clips, by row."""
        index = torch.as_tensor(rows, device=self.device)
        taken = [tensor.index_select(0, index) for tensor in self.tensors()]
        return self._with(taken, [self.clips[row] for row in rows])

    def empty_like(self, count: int, device: torch.device) -> "ClipBatch":
        """Room for many clips on a device, to be filled."""
        room = [
            torch.empty((count, *tensor.shape[1:]), dtype=tensor.dtype, device=device)
            for tensor in self.tensors()
        ]
        return self._with(room, range(count))

    def fill(self, first: int, part: "ClipBatch") -> None:
        """Put clips into the rows from `first` on."""
        for whole, tensor in zip(self.tensors(), part.tensors(), strict=True):
            whole[first : first + len(tensor)] = tensor.to(whole.device)

    def share_memory(self) -> None:
        """Move the clips, in place, to memory that other processes can see."""
        for tensor in self.tensors():
            tensor.share_memory_()
