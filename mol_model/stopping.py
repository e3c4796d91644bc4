"""Stop on request: SIGTERM and SIGUSR1 mean save and end, as batch systems ask before a limit.

The work looks whether it was asked to stop where it can save; nothing is torn down by the
signal itself.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1) if hasattr(signal, "SIGUSR1") else (signal.SIGTERM,)

_asked = threading.Event()


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.set()


def asked_to_stop() -> bool:
    """Whether a stop signal came since `listen_for_stop` began."""
    return _asked.is_set()


@contextmanager
def listen_for_stop() -> Iterator[None]:
    """Note stop signals instead of dying of them; only in the main thread of a process."""
    _asked.clear()
    before = {number: signal.signal(number, _ask) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


@contextmanager
def hold_stop_signals() -> Iterator[None]:
    """Let stop signals wait; processes that are started meanwhile begin with them held.

    A batch system signals every process of a job at once, also those that only just start and
    helpers that could not go on without it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where nobody sends them
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def listen_from_now_on() -> None:
    """In a process that was started with stop signals held: note them until it ends."""
    for number in STOP_SIGNALS:
        signal.signal(number, _ask)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
