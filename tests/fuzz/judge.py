"""What may become of a damaged document: it is read, or an error of ours names what is wrong."""

import contextlib
import os
import signal
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from mol_pipeline.contract.errors import MolError, one_line

SLOWEST_S = 20.0
"""Of processor time; a fraction of a second is usual."""
HANGS_S = 300
"""Of waiting: for a pipe that nobody writes to, for example."""

_watched: list[Path] = []
_opened: list[tuple[str, bool]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _watched and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        mode = arguments[1]
        writes = isinstance(mode, str) and any(sign in mode for sign in "wax+")
        _opened.append((os.fsdecode(arguments[0]), writes))


sys.addaudithook(_audit)


def _hangs(number: int, frame: object) -> None:
    raise AssertionError(f"did not end in {HANGS_S} s")


@contextlib.contextmanager
def allowed(folder: Path) -> Iterator[None]:
    """Nothing, or a named error on one line that is not too long.

    Raises:
        AssertionError: If the error is no sentence.
    """
    try:
        yield
    except MolError as error:
        text = one_line(error)
        assert text
        assert "weights_only" not in text, text


@contextlib.contextmanager
def judged(folder: Path, *known: Path) -> Iterator[None]:
    """`allowed`, in time, and with nothing opened outside.

    Args:
        folder: Where the document lies.
        known: Other folders that a reader may read.

    Raises:
        AssertionError: If a file outside was opened, or it took too long.
    """
    _opened.clear()
    _watched.append(folder)
    start = time.process_time()
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(HANGS_S)
    try:
        with allowed(folder):
            yield
    finally:
        signal.alarm(0)
        _watched.pop()
    seconds = time.process_time() - start
    assert seconds < SLOWEST_S, f"took {seconds:.1f} s"
    prefixes = (
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_paths()["stdlib"],
        "/proc",
        "/sys",
        "/dev",
    )
    readable = [*(Path(one) for one in prefixes), Path(__file__).parents[2], *known]
    for name, writes in _opened:
        path = Path(os.path.normpath(Path(name).absolute()))
        if path.is_relative_to(folder) or path == Path(os.devnull):
            continue
        inside = any(path.is_relative_to(one) for one in readable)
        assert inside and not writes, f"{path} was {'written' if writes else 'read'}"
