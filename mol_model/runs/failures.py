"""What the machine refuses, as errors that name it and the next step: memory, disk, helpers."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mol_pipeline.contract.errors import NO_ROOM, TrainingError, refusal

NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
"""What torch says of main memory, and of what it asks of CUDA through other libraries."""

READER_DIED = "DataLoader worker"
"""What torch says when a process that reads clips was ended; it says so anywhere in a step."""

LESS_MEMORY = (
    "run again with fewer --jobs, --set data.cache=stream, or a smaller --set data.cache_mb or "
    "data.workers: none of them changes a number"
)


@contextmanager
def named_failures(place: Path | str) -> Iterator[None]:
    """Turn what the machine refuses into an error that names the place and the next step.

    Args:
        place: Directory that is written to, or what is being done.

    Raises:
        TrainingError: If a file cannot be written, memory is not there, or a process that
            reads clips was ended.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        reason, advice = refusal(error.errno, str(error))
        raise TrainingError(
            f"{place}: cannot be written: {reason}; {advice} or choose another --out, then run "
            "again to continue"
        ) from error
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _no_memory(place, error) from error
    except RuntimeError as error:
        if any(words in str(error) for words in NO_MEMORY):
            raise _no_memory(place, error) from error
        if READER_DIED in str(error):
            raise TrainingError(
                f"{place}: a process that reads clips died ({_first_line(error)}), most likely "
                f"out of memory; {LESS_MEMORY}"
            ) from error
        raise


def release_memory(device: torch.device) -> None:
    """Give back what a fold that failed has left: networks hang together in cycles."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _no_memory(place: Path | str, error: BaseException) -> TrainingError:
    said = _first_line(error) or type(error).__name__
    return TrainingError(f"{place}: out of memory ({said}); {LESS_MEMORY}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
