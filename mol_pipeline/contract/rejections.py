"""Why a video is not in the shards: every reason code, in one place.

A code that is none of these is an error of mypy, and of the manifest that would hold it.
"""

from typing import Literal, get_args

IndexCode = Literal[
    "ambiguous-frames",
    "ambiguous-numbers",
    "duplicate-row",
    "frames-do-not-fit",
    "garbled-annotation",
    "impossible-row",
    "missing-frames",
    "no-folder",
    "no-frames",
    "no-long-video",
    "not-annotated",
    "renumbered",
    "several-folders",
]
"""Known from the database's table and folders, before a frame is read."""

PreparationCode = Literal[
    "bad-landmarks",
    "cut",
    "damaged-frame",
    "doubtful-face",
    "mixed-labels",
    "no-face",
    "no-key-frames",
    "too-short",
    "unreadable-frame",
    "unreadable-video",
]
"""Known when the video is prepared; the same whenever it is."""

UnfinishedCode = Literal["crashed", "unreachable"]
"""Another run of the build tries again: the task died, or the disk did not answer."""

RejectionCode = IndexCode | PreparationCode | UnfinishedCode

NOT_HERE: IndexCode = "no-folder"
"""The frames of a row of the table are not in this copy of the database."""

UNFINISHED = frozenset(get_args(UnfinishedCode))


class Rejection(Exception):  # not an error of the program: an outcome of a video
    """A video cannot be prepared; carries the reason code and the message."""

    def __init__(self, code: RejectionCode, message: str) -> None:
        super().__init__(message)
        self.code = code
