"""Deliberate errors and their exit codes.

    MolError                      base: caught only on purpose, hence not a ValueError
    ├── ConfigError        3      a setting is missing, unknown or inconsistent
    ├── ManifestError      4      manifest and files disagree
    ├── SourceError        5      database or landmark model missing or garbled
    ├── StageError         6      some videos failed; the others are written
    ├── TrainingError      7      loss not finite, checkpoint unfit, no usable data
    └── StoppedOnRequest  75      a batch system asked to stop; the state is saved

Exit code 2 is click's (wrong command line), 130 an interrupt, 1 a bug of ours.
Both commands share this table; `mol_pipeline.command_line` turns it into exits.
"""

import errno
import os
import re
from pathlib import Path

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""Errors of a disk that takes no more: nothing else that is written there will escape them."""

NO_ENTRY = NO_ROOM | {
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTEMPTY,
}
"""Errors of a place where a user's output cannot go: another place helps."""

REFUSALS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("your disk quota is used up", "remove files of yours"),
    errno.EFBIG: ("a file may not become so large here", "raise the limit ('ulimit -f')"),
    errno.EROFS: ("the file system is read-only", "have it mounted for writing"),
    errno.EACCES: ("no permission to write there", "ask for the right to write"),
    errno.EPERM: ("writing there is not permitted", "ask for the right to write"),
    errno.EIO: (
        "the disk reports an input/output error",
        "have it looked at (the system log names it)",
    ),
    errno.ESTALE: ("the network disk is out of reach", "see that it is mounted"),
    errno.ENODEV: ("the disk is gone", "see that it is mounted"),
    errno.ENXIO: ("the disk is gone", "see that it is mounted"),
}
"""What a disk refuses, and what helps."""

LONGEST_REFUSAL = 120
"""Letters that are passed on of what a library says of an error that has no number."""

_NUMBER_IN_TEXT = re.compile(r"(?:errno = |os error )(\d+)")


class MolError(Exception):
    """Base of every error that a user can act on; the message is one line."""

    exit_code = 1


class ConfigError(MolError):
    """A setting is missing, unknown or inconsistent: edit the settings."""

    exit_code = 3


class ManifestError(MolError):
    """A manifest and the files it names disagree: verify or rebuild."""

    exit_code = 4


class SourceError(MolError):
    """A database or the landmark model is missing or garbled: fix the source."""

    exit_code = 5


class StageError(MolError):
    """Some videos failed while the others were written: read the report."""

    exit_code = 6


class TrainingError(MolError):
    """A training run cannot go on or cannot start: look at the run."""

    exit_code = 7


class StoppedOnRequest(MolError):
    """A stop signal came (SIGTERM, SIGUSR1); the state is saved: queue the job again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


LONGEST_LINE = 1000
"""Characters of an error: what stands in a damaged file may be part of it."""


def one_line(error: Exception) -> str:
    """What is said of an error: on one line, the middle of a very long one left out."""
    text = " ".join(str(error).split())
    if len(text) <= LONGEST_LINE:
        return text
    return f"{text[: LONGEST_LINE // 2]} ... {text[-LONGEST_LINE // 3 :]}"


def refusal(number: int | None, said: str = "") -> tuple[str, str]:
    """Why something cannot be written, in a few words, and what to do about it.

    Args:
        number: Of the error (`errno`), as `refusal_number` finds it.
        said: The system's or a library's own words, for a number without words here.
    """
    if number in REFUSALS:
        return REFUSALS[number]
    reason = os.strerror(number) if number else " ".join(said.split())
    if len(reason) > LONGEST_REFUSAL:
        reason = f"{reason[:LONGEST_REFUSAL]}..."
    return reason or "the system does not say why", "look at that place"


def refusal_number(error: Exception) -> int | None:
    """Number of an error of writing; HDF5 and safetensors have it in the midst of their words."""
    number: int | None = getattr(error, "errno", None)
    if number is None and (found := _NUMBER_IN_TEXT.search(str(error))):
        return int(found[1])
    return number


def unwritable(out: Path, error: OSError) -> ConfigError:
    """The error of an output that cannot be written, with the file at fault and the reason."""
    at = f" ({error.filename})" if error.filename and str(error.filename) != str(out) else ""
    reason, advice = refusal(refusal_number(error), str(error))
    return ConfigError(
        f"--out {out}: cannot be written{at}: {reason}; {advice}, or choose another --out"
    )
