"""Objects that a thread must not share.

A Dask worker runs as many tasks at once as it has threads. Some objects of OpenCV and Dlib keep
scratch memory between calls and let go of Python's lock while they work: two threads that use one
write into each other's numbers (decision record 0015).
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class PerThread(Generic[Made]):
    """One object for each thread, made when the thread first asks and dropped when it ends.

    Args:
        make: Makes one; called in the thread that will use it.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._own = threading.local()

    def get(self) -> Made:
        """The object of the thread that asks."""
        try:
            found: Made = self._own.made
        except AttributeError:
            found = self._own.made = self._make()
        return found
