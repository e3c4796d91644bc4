"""One training shared by several processes (`torchrun`): gradients and statistics are joint.

A batch is split into equal parts, one a process. Gradients are averaged by torch's
`DistributedDataParallel`; batch normalisation takes its statistics over all parts, so that
the network learns what one process would learn from the whole batch.
"""

import datetime
import os
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.parent import end_with_parent
from mol_pipeline.contract.stopping import ask_to_stop

LONGEST_SAVE_S = 120.0
"""A process that was asked to stop has so long to save."""

LONGEST_WAIT = datetime.timedelta(hours=2)
"""For the first process, which alone tests and writes."""


def started_by_torchrun() -> bool:
    """Whether this is one of several processes of `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: torch.device) -> torch.device:
    """Join the processes of `torchrun`; returns this process's own device.

    They end with it: a signal that `torchrun` does not know ends it alone, so they save first.
    """
    end_with_parent(LONGEST_SAVE_S, ask_to_stop)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    make_current(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    return device


def make_current(device: torch.device) -> None:
    """Let what names no device (pinned memory, libraries) use this one, not the first."""
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)


def count_on_node() -> int:
    """Processes of `torchrun` on this machine, which share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if started_by_torchrun() else 1


def leave() -> None:
    """Leave the others, if there are any."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def count() -> int:
    """Processes that share the training."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, also after it has left the others; 0 writes and prints."""
    return int(os.environ.get("RANK", "0")) if started_by_torchrun() else 0


def first_on_node() -> bool:
    """Whether this process does what is done once on each machine."""
    return not started_by_torchrun() or os.environ.get("LOCAL_RANK", "0") == "0"


def wait() -> None:
    """Wait until all are here."""
    if count() > 1:
        torch.distributed.barrier()


def any_of(value: bool, device: torch.device) -> bool:
    """Whether it holds in any process."""
    if count() == 1:
        return value
    flag = torch.tensor(float(value), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def mean_of(value: Tensor) -> Tensor:
    """Mean over the processes, without gradient."""
    if count() == 1:
        return value
    value = value.detach().clone()
    torch.distributed.all_reduce(value)
    return value / count()


def own_part(size: int) -> slice:
    """This process's part of a batch.

    Raises:
        ConfigError: If the batch cannot be split evenly.
    """
    if size % count():
        raise ConfigError(
            f"a batch of {size} clips cannot be split evenly among {count()} processes; choose "
            "training.batch_size as a multiple, or start fewer"
        )
    part = size // count()
    return slice(rank() * part, (rank() + 1) * part)


def share(model: nn.Module, device: torch.device, *, some_unused: bool = False) -> nn.Module:
    """A module whose backward pass averages the gradients of all processes.

    Args:
        model: The network.
        device: Where it is.
        some_unused: Whether parameters get no gradient, for which torch would wait otherwise;
            looking for them costs a walk over the graph in every step.
    """
    return nn.parallel.DistributedDataParallel(
        model,
        device_ids=[device.index] if device.type == "cuda" else None,
        broadcast_buffers=False,
        find_unused_parameters=some_unused,
    )


def join_batch_norms(model: nn.Module) -> None:
    """Let the batch norms of a network, in place, take statistics over all processes.

    torch's own `SyncBatchNorm` refuses a CPU; this one is the same on every device.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                joint = JointBatchNorm2d(
                    child.num_features, child.eps, child.momentum, child.affine
                )
                joint.load_state_dict(child.state_dict())
                setattr(module, name, joint.to(next(child.parameters()).device))


class _Sum(torch.autograd.Function):
    """Sum over processes; the gradient of a sum is the sum of the gradients."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        """Add up the values."""
        value = value.clone()
        torch.distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        """Add up the gradients."""
        gradient = gradients[0].contiguous().clone()
        torch.distributed.all_reduce(gradient)
        return gradient


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose training statistics are those of the parts of all processes."""

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise `[n, channels, height, width]`; equal n in every process."""
        if not self.training or count() == 1:
            return super().forward(maps)
        values = maps.float()
        sums = torch.stack([values.sum(dim=(0, 2, 3)), values.square().sum(dim=(0, 2, 3))])
        number = maps.numel() / maps.shape[1] * count()
        mean, square = _Sum.apply(sums) / number
        variance = (square - mean.square()).clamp(min=0.0)
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                unbiased = variance * number / (number - 1)
                self.running_mean.lerp_(mean, self.momentum or 0.1)
                self.running_var.lerp_(unbiased, self.momentum or 0.1)
                if self.num_batches_tracked is not None:
                    self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(maps.dtype)
