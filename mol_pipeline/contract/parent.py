"""A process that ends when the one that started it is gone, however that one ended.

SIGKILL, an out-of-memory killer or a crash leave nobody to end the children: they must see to it
themselves. Linux ends them by itself once it is asked to. Everywhere else, and should that fail, a
thread waits for the parent: for a pipe that only the parent holds, or a handle of it.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait

PARENT_GONE = 70
"""Exit code of a process whose parent is gone; nobody is there to read it."""

LOOK_S = 0.5
"""Between two looks at the number of the parent, where there is no pipe to wait for."""

_PR_SET_PDEATHSIG = 1
_SYNCHRONIZE = 0x100000


def end_with_parent(save_s: float = 0.0, ask_to_save: Callable[[], None] | None = None) -> None:
    """End this process when its parent is gone; called once, in its main thread.

    Whatever this process wrote by rename stays whole.

    Args:
        save_s: Seconds that it may take to save; 0: it ends at once.
        ask_to_save: Called when the parent is gone.
    """
    gone = _parent_is_gone()
    if not save_s and sys.platform == "linux":
        # The kernel's own way works also while no thread of this process can run. It goes by the
        # thread of the parent that started this process, which must not end before the parent.
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def watch() -> None:
        gone()
        if ask_to_save is not None:
            ask_to_save()
            time.sleep(save_s)
        os._exit(PARENT_GONE)  # not sys.exit: that ends a thread, and may wait for the parent

    threading.Thread(target=watch, name="waits for the parent's end", daemon=True).start()


def _parent_is_gone() -> Callable[[], object]:
    """A function that returns when the parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:  # started by multiprocessing: a pipe, or on Windows a handle
        return lambda: wait([parent.sentinel])
    number = os.getppid()
    if sys.platform == "win32":  # there a number says nothing about who lives
        import _winapi

        handle = _winapi.OpenProcess(_SYNCHRONIZE, False, number)
        return lambda: wait([handle])

    def look() -> None:
        while os.getppid() == number:
            time.sleep(LOOK_S)

    return look
