"""One video of your own: a film by its content, a folder of images by their names."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from mol_pipeline.databases.files import list_series, on_disk
from mol_pipeline.reading.films import probe_film
from mol_pipeline.reading.frames import image_remarks
from mol_pipeline.reading.timing import has_odd_steps, steps_text, unequal_times

PATTERN = "*"
"""In the last part of a path: only the images of a folder whose names fit it."""


@dataclass(frozen=True)
class Source:
    """A film or a folder of frames."""

    path: Path
    """Of the film or the folder, as it is on disk."""
    frames: tuple[tuple[int, str], ...]
    """(number, file name), sorted; the name is empty for frames of a film."""
    seconds: tuple[Fraction, ...]
    """Of each frame since the first; empty where nobody knows."""
    written: dict[str, int]
    """What a file's name says -> number, where frames are counted in place of it."""
    remarks: tuple[str, ...]
    """What is changed, left out or assumed, a sentence each."""
    has_gaps: bool
    """Whether an absent number is an absent frame."""
    is_timed: bool = True
    """Whether the unit of the seconds is sure."""

    def part(self, low: int | None, high: int | None) -> "Source":
        """The frames from one number to another, inclusive; None for no limit."""
        kept = [
            place
            for place, (number, _) in enumerate(self.frames)
            if (low is None or low <= number) and (high is None or number <= high)
        ]
        frames = tuple(self.frames[place] for place in kept)
        seconds = tuple(self.seconds[place] for place in kept) if self.seconds else ()
        return replace(self, frames=frames, seconds=seconds)

    def number(self, written: str) -> str:
        """What a table says of a frame, as the number that it has here.

        A name that is a time may be written as in the file's name.
        """
        text = written.strip()
        found = self.written.get(text.casefold())
        if found is None and text.isdecimal():
            same = (
                n for word, n in self.written.items() if word.isdecimal() and int(word) == int(text)
            )
            found = next(same, None)
        return text if found is None else str(found)

    @property
    def times(self) -> tuple[float, ...]:
        """Seconds of each frame where the steps are unequal; else empty."""
        return unequal_times(self.seconds)

    @property
    def all_remarks(self) -> tuple[str, ...]:
        """With what its times mean for its clips."""
        times = self.times
        if times:
            words = f"its time steps vary, {steps_text(times)}: sampled evenly in time"
        elif has_odd_steps(self.seconds):
            steps = steps_text([float(one) for one in self.seconds])
            words = f"its time steps, {steps}, are equal to within half a step: taken as equal"
        else:
            return self.remarks
        return (*self.remarks, words)

    @property
    def rate(self) -> float | None:
        """Frames a second on average; None where nobody knows."""
        if not self.is_timed or len(self.seconds) < 2 or self.seconds[-1] <= self.seconds[0]:
            return None
        return float((len(self.seconds) - 1) / (self.seconds[-1] - self.seconds[0]))


def open_source(path: Path) -> Source:
    """Look at a film or a folder; no picture is kept.

    Args:
        path: As somebody wrote it: its letters may be composed otherwise on disk, and its last
            part may be a pattern (`frames/left_*`).

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is neither, holds no frame, or nobody can say which are its frames.
    """
    place = on_disk(path)
    if place is not None and place.is_file():
        film = probe_film(place)
        frames = tuple((number, "") for number in range(film.frames))
        return Source(place, frames, film.seconds, {}, film.remarks, has_gaps=True)
    pattern = "*"
    if place is None and PATTERN in path.name:
        place, pattern = on_disk(path.parent), path.name
    if place is None:
        raise FileNotFoundError("is not there")
    if not place.is_dir():
        raise ValueError("is neither a file nor a folder")
    series = list_series(place, pattern)
    if series.problem:
        raise ValueError(series.problem)
    if not series.frames:
        raise ValueError(_no_frames(place))
    remarks = [*series.remarks, *series.left_out, *image_remarks(place / series.frames[0][1])]
    return Source(
        place,
        series.frames,
        series.seconds,
        series.written,
        tuple(remarks),
        has_gaps=not series.seconds and not series.written,
        is_timed=series.is_timed,
    )


def _no_frames(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    held = f" (it holds {', '.join(names[:2])}{', ...' if len(names) > 2 else ''})" if names else ""
    return f"the folder holds no image with a number in its name{held}"
