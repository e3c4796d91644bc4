"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mol_pipeline.graph import Progress

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress_line(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield `advance(done, total)`, which shows how far something is."""
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    started = last = time.monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = (now - started) / done * (total - done) if done else 0.0
            print(f"{what}: {done}/{total}, {left:.0f} s left", file=sys.stderr, flush=True)  # noqa: T201

    yield advance


@contextmanager
def build_progress() -> Iterator[Callable[["Progress"], None]]:
    """Yield a listener for `mol_pipeline.graph.build`."""
    with progress_line("preparing videos") as advance:

        def listen(progress: "Progress") -> None:
            if progress.message:
                print(progress.message, file=sys.stderr, flush=True)  # noqa: T201
            advance(progress.done, progress.total)

        yield listen


def _bar():  # type: ignore[no-untyped-def]  # rich is imported late
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
