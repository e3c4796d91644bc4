"""Bad weather for a process: a disk that stumbles, answers that come late.

Python asks its audit hooks before it opens a file; a hook that raises is a disk that fails. A
worker process begins it by a preload script: `from tests.chaos import weather; weather.begin(...)`.
"""

import errno
import os
import random
import sys
import time
from dataclasses import dataclass, field
from threading import Lock

PASSING = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT)
"""What a network disk says when it stumbles."""


@dataclass
class Weather:
    """What fails, how often."""

    places: tuple[str, ...] = ()
    """Only files whose path contains one of these."""
    failures: int = 0
    """Opens that fail; then the disk is well again."""
    numbers: tuple[int, ...] = PASSING
    only_writing: bool = False
    """Files that are only read are left alone: a full disk can be read."""
    share: float = 0.3
    """Of the opens, as long as failures are left."""
    slowest_s: float = 0.0
    """Opens wait for up to this long."""
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    lock: Lock = field(default_factory=Lock)

    def meet(self, path: str, mode: str) -> None:
        """Fail, wait, or do nothing."""
        if not any(place in path for place in self.places):
            return
        if self.only_writing and not set(mode) & set("wxa+"):
            return
        with self.lock:
            pause = self.chance.uniform(0, self.slowest_s)
            fails = self.failures > 0 and self.chance.random() < self.share
            self.failures -= fails
            number = self.chance.choice(self.numbers)
        if pause:
            time.sleep(pause)
        if fails:
            raise OSError(number, os.strerror(number), path)


CALM = Weather()
_now = CALM
_hooked = False


def begin(weather: Weather) -> None:
    """Let this process have such weather."""
    global _now, _hooked
    _now = weather
    if not _hooked:
        _hooked = True  # a hook cannot be taken back
        sys.addaudithook(_hook)


def end() -> None:
    """Be calm again."""
    global _now
    _now = CALM


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _now is not CALM and isinstance(arguments[0], str):
        _now.meet(arguments[0], str(arguments[1] or ""))
