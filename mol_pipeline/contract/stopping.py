"""Stop on request: SIGTERM and SIGUSR1 mean save and end, as batch systems ask before a limit.

So does SIGHUP, of a terminal that closes, except under `nohup`.

A command begins with `stopped_by_signals`: a signal ends it at once, with words and exit code 75.
Work that can save what it has says so by `listen_for_stop`: there a signal is only noted, and the
work looks where it can save. Nothing is ever torn down by the signal itself.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from mol_pipeline.contract.errors import StoppedOnRequest

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)
)

_asked = threading.Event()


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.set()


def _ask_and_end(number: int, frame: FrameType | None) -> None:
    _asked.set()  # also noted: an exception that a signal raises may be swallowed where it lands
    refuse_if_asked()


def _answerable() -> tuple[signal.Signals, ...]:
    """Stop signals without a SIGHUP that `nohup` has set aside."""
    hang_up = getattr(signal, "SIGHUP", None)
    return tuple(
        number
        for number in STOP_SIGNALS
        if number != hang_up or signal.getsignal(number) is not signal.SIG_IGN
    )


def asked_to_stop() -> bool:
    """Whether a stop signal came since the command began."""
    return _asked.is_set()


def ask_to_stop() -> None:
    """Ask this process to stop, as a signal would."""
    _asked.set()


def refuse_if_asked(words: str = "what is finished is kept") -> None:
    """End here if a stop signal came.

    Args:
        words: What had been reached.

    Raises:
        StoppedOnRequest: If one came.
    """
    if _asked.is_set():
        raise StoppedOnRequest(f"stopped on request: {words}; run again to continue")


@contextmanager
def _answered_by(answer: "signal._HANDLER") -> Iterator[None]:
    """Answer stop signals in a block; what was noted is forgotten after the outermost."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change the answer
        return
    before = {number: signal.signal(number, answer) for number in _answerable()}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: set by a program that is not written in Python; it cannot be named again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if not {_ask, _ask_and_end} & set(before.values()):
            _asked.clear()


def stopped_by_signals() -> AbstractContextManager[None]:
    """In the block a stop signal raises `StoppedOnRequest` at once, as Ctrl-C interrupts."""
    return _answered_by(_ask_and_end)


def only_noted() -> AbstractContextManager[None]:
    """In the block a stop signal is only noted, also where one came before: to put things away."""
    return _answered_by(_ask)


@contextmanager
def listen_for_stop() -> Iterator[None]:
    """In the block a stop signal is only noted: the work looks by `asked_to_stop`.

    Raises:
        StoppedOnRequest: If one came before.
    """
    with only_noted():
        refuse_if_asked()
        yield


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
    for number in _answerable():
        signal.signal(number, _ask)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def leave_stopping_to_parent() -> None:
    """In a helper that was started with stop signals held: end only when its parent says so.

    The parent may still need it while it saves and ends, and ends it with SIGTERM when it exits:
    who sent a signal tells the two apart. Where the system does not say who, the helper goes on
    until the parent closes it or is gone.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return

    def wait() -> None:
        while signal.sigwaitinfo(STOP_SIGNALS).si_pid != os.getppid():
            pass
        os._exit(0)

    threading.Thread(target=wait, name="waits for the parent's word", daemon=True).start()
