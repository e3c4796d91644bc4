"""Numbers drawn by chance: all follow from the seed, the fold and the step.

A run that was stopped therefore continues to the same numbers without the state of any
generator.
"""

import os
import zlib

import numpy as np
import torch


def seed_of(seed: int, fold: str, *rest: int) -> int:
    """One number from a run's seed, a fold's name and more; stable over machines."""
    mixed = np.random.SeedSequence([seed, zlib.crc32(fold.encode()), *rest])
    return int(mixed.generate_state(1, np.uint64)[0] >> 1)


def generator_of(seed: int, fold: str, *rest: int) -> torch.Generator:
    """A generator on the CPU, so that every device draws alike."""
    return torch.Generator().manual_seed(seed_of(seed, fold, *rest))


def use_deterministic_kernels(enabled: bool) -> None:
    """Let torch take only kernels that give the same bits again, or whatever is fastest.

    On a CPU the network's kernels are deterministic for a given number of threads anyway.
    """
    if enabled:
        # cuBLAS reads this when CUDA starts; without it torch refuses its matrix products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Only where it changes something: the call imports torch's compiler, which takes a second.
    if torch.are_deterministic_algorithms_enabled() != enabled:
        torch.use_deterministic_algorithms(enabled)
    torch.backends.cudnn.benchmark = not enabled
