"""A process that is killed at a chosen call to the system: nothing more is written from there."""

import contextlib
import os
import pathlib

CALLS = ("replace", "rename", "unlink", "fsync", "mkdir", "pwrite", "open")
"""What a checkpoint, a log or a table asks of the system, besides the bytes of files."""

FLAGS_THAT_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


class Kill:
    """Counts calls; at one of them, and at all after it, nothing happens any more."""

    def __init__(self, monkeypatch, at=None):
        self.at, self.count = at, 0
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))
        for name in ("write_bytes", "write_text"):
            monkeypatch.setattr(
                pathlib.Path, name, self._wrapped(name, getattr(pathlib.Path, name))
            )

    def _wrapped(self, name, call):
        def counted(*args, **more):
            if name == "open" and not (len(args) > 1 and args[1] & FLAGS_THAT_WRITE):
                return call(*args, **more)
            self.count += 1
            if self.at is not None and self.count >= self.at:
                raise Killed
            return call(*args, **more)

        return counted


@contextlib.contextmanager
def killed_at(monkeypatch, at):
    """Run the block and kill it at a call, counted from 1; yields the counter."""
    with monkeypatch.context() as patch:
        kill = Kill(patch, at)
        with contextlib.suppress(Killed):
            yield kill
