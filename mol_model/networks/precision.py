"""How products are computed: how exactly, and from which layout of the kernels."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from mol_model.config.settings import TrainingConfig


def set_precision(training: TrainingConfig, device: torch.device) -> None:
    """Let a CUDA device round the inputs of float32 products, or not."""
    if device.type == "cuda":
        exact = training.precision == "float32"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact


@contextmanager
def exact_products() -> Iterator[None]:
    """Products of full float32 in the block, for tests, whatever the training asked for.

    torch lets cuDNN round to TF32 unless it is told not to.
    """
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn


def autocast(training: TrainingConfig, device: torch.device) -> AbstractContextManager[None]:
    """Compute in bfloat16 where the settings say so; weights and losses stay float32."""
    if training.precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def store_channels_last(module: nn.Module) -> None:
    """Store 2-D kernels with channels last, in place.

    `Module.to(memory_format=...)` refuses modules that have 3-D kernels too.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
