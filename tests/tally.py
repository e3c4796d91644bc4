"""How much a test tried and how much of it held: what `make trust` adds up.

    with tally("bytes flipped in shards") as tried:
        for damage in damages:
            with tried():
                ...  # raises if the promise does not hold

Nothing is written unless MOL_TRUST_TALLY names a file; several processes may add lines to it.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Tally:
    """Counts of one kind."""

    kind: str
    tried: int = 0
    held: int = 0

    @contextlib.contextmanager
    def __call__(self, times: int = 1) -> Iterator[None]:
        """One thing tried (or several at once); it held if the block does not raise."""
        self.tried += times
        yield
        self.held += times

    def line(self) -> str:
        """As it is written down."""
        return json.dumps({"kind": self.kind, "tried": self.tried, "held": self.held}) + "\n"


@contextlib.contextmanager
def tally(kind: str) -> Iterator[Tally]:
    """Count things of a kind and write the counts down, also when the test fails."""
    counts = Tally(kind)
    try:
        yield counts
    finally:
        if place := os.environ.get("MOL_TRUST_TALLY"):
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(counts.line())  # one short write: lines of processes do not mix
