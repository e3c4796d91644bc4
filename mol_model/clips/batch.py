"""Some clips in memory, as the shards have them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClipBatch:
    """Clips as they are stored, one row each."""

    frames: Tensor
    """uint8 `[B, t, 144, 144]`."""
    flow: Tensor
    """float16 `[B, t-1, 2, 144, 144]`."""
    landmarks: Tensor
    """float32 `[B, t, 68, 2]`."""
    labels: Tensor
    """int64 `[B]`; of action units `[B, units]`: 1, 0, and -1 where unknown."""
    clips: tuple[int, ...]
    """Numbers of the clips in their `ShardSet`."""

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames, flow, landmarks and labels."""
        return self.frames, self.flow, self.landmarks, self.labels

    def _with(self, tensors: Iterable[Tensor], clips: Sequence[int]) -> "ClipBatch":
        frames, flow, landmarks, labels = tensors
        return ClipBatch(frames, flow, landmarks, labels, tuple(clips))

    def to(self, device: torch.device) -> "ClipBatch":
        """The same clips on a device."""
        moved = (tensor.to(device, non_blocking=True) for tensor in self.tensors())
        return self._with(moved, self.clips)

    def pin_memory(self) -> "ClipBatch":
        """The same clips in memory from which a CUDA device copies by itself."""
        return self._with((tensor.pin_memory() for tensor in self.tensors()), self.clips)

    def take(self, rows: Sequence[int]) -> "ClipBatch":
        """Some of the clips, by row."""
        index = torch.as_tensor(rows, device=self.frames.device)
        taken = (tensor.index_select(0, index) for tensor in self.tensors())
        return self._with(taken, [self.clips[row] for row in rows])

    def empty_like(self, count: int, device: torch.device) -> "ClipBatch":
        """Room for many clips on a device, to be filled."""
        room = (
            torch.empty((count, *tensor.shape[1:]), dtype=tensor.dtype, device=device)
            for tensor in self.tensors()
        )
        return self._with(room, range(count))

    def fill(self, first: int, part: "ClipBatch") -> None:
        """Put clips into the rows from `first` on."""
        for whole, tensor in zip(self.tensors(), part.tensors(), strict=True):
            whole[first : first + len(tensor)] = tensor.to(whole.device)

    def share_memory(self) -> None:
        """Move the clips, in place, to memory that other processes can see."""
        for tensor in self.tensors():
            tensor.share_memory_()
