"""Numbers drawn by chance: all follow from the seed, the fold and the step.

A run that was stopped therefore continues to the same numbers without the state of any
generator.
"""

import enum
import os
import zlib

import numpy as np
import torch


class Stream(enum.IntEnum):
    """What is drawn by chance, each from numbers of its own. A number once given stays."""

    WEIGHTS = 0
    """Of the network, once a fold."""
    ORDER = 1
    """Of the clips, once an epoch."""
    VIEW = 2
    """Crop, flip and brightness of each clip, once a step."""
    DROPOUT = 3
    """Once a step and process."""
    FLOW_PAIRS = 4
    """Pairs whose flow is estimated, once a step."""
    VALIDATION = 5
    """People who are held out of the training part, once a fold."""
    SHUFFLED_LABELS = 6
    """Of the control experiment, once a fold."""


def seed_of(seed: int, fold: str, stream: Stream, *at: int) -> int:
    """One number from a run's seed, a fold's name, a stream and a place in it.

    Stable over machines.

    Args:
        seed: Of the run.
        fold: Its name.
        stream: What is drawn.
        at: Epoch, step or process, as the stream has them.
    """
    mixed = np.random.SeedSequence([seed, zlib.crc32(fold.encode()), int(stream), *at])
    return int(mixed.generate_state(1, np.uint64)[0] >> 1)


def generator_of(seed: int, fold: str, stream: Stream, *at: int) -> torch.Generator:
    """A generator on the CPU, so that every device draws alike; arguments as of `seed_of`."""
    return torch.Generator().manual_seed(seed_of(seed, fold, stream, *at))


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
