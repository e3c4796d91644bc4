"""Of several folders that may hold a clip's frames, the one that does; equal ones are compared."""

import contextlib
import filecmp
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.files import FrameFolder, list_series
from mol_pipeline.databases.fitting import Fit, Frames, Misfit, Numbers, fit
from mol_pipeline.databases.frame_names import FrameSeries
from mol_pipeline.reading.frames import image_remarks


@dataclass(frozen=True)
class Candidate:
    """A folder and the frames of the clip in it."""

    folder: FrameFolder
    present: Frames
    fit: Fit
    left_out: tuple[str, ...]
    """Images of the folder that are none of its frames, a sentence each."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is left out of the folder, and what its images say will be done to them."""
        with contextlib.suppress(OSError):  # a build waits for the disk, or names the file
            first = self.folder.path / self.fit.frames[0][1]
            return (*self.left_out, *image_remarks(first))
        return self.left_out


SeriesOf = Callable[[Path], FrameSeries]
"""From a folder to its frames; many clips of a recording ask for the same one in turn."""


def best_folder(
    folders: Sequence[FrameFolder],
    key_frames: KeyFrames,
    numbers: Numbers,
    *,
    anew: bool,
    series_of: SeriesOf = list_series,
) -> tuple[Candidate, str]:
    """The folder that holds most of a clip, and how it was chosen, if there are several.

    Args:
        folders: At least one.
        key_frames: Of the clip, as they are annotated.
        numbers: See `fit`.
        anew: See `fit`.
        series_of: Lists a folder.

    Raises:
        Misfit: If none holds any of it, or two hold as much and differ.
    """
    found: list[Candidate] = []
    misfits: list[Misfit] = []
    for folder in folders:
        series = series_of(folder.path)
        if series.problem:
            words = f"{folder.relative}: {series.problem}"
            misfits.append(Misfit("ambiguous-frames", words))
            continue
        try:
            fitted = fit(series.frames, key_frames, numbers, anew=anew)
            found.append(Candidate(folder, series.frames, fitted, series.left_out))
        except Misfit as misfit:
            misfits.append(Misfit(misfit.code, f"{folder.relative}: {misfit}"))
    if not found:
        raise next((one for one in misfits if one.code != "no-frames"), misfits[0])
    best = max(found, key=lambda one: len(one.fit.frames))
    rivals = [one for one in found if len(one.fit.frames) == len(best.fit.frames)]
    for rival in rivals[1:]:
        if not _same_frames(best, rival):
            raise Misfit(
                "several-folders",
                f"{best.folder.relative} and {rival.folder.relative} hold as many of its frames, "
                "and not the same; choose a set with --frames, or remove one",
            )
    if len(folders) == 1:
        return best, ""
    why = "equal ones" if len(rivals) == len(folders) else "the fullest"
    return best, f"{len(folders)} folders: {best.folder.relative} used, {why}"


def _same_frames(one: Candidate, other: Candidate) -> bool:
    """Whether two folders hold the same frames of a clip: numbers, sizes, and three of them whole.

    A doubled release is as large as a release: reading all of it twice would take longer than
    the index.
    """
    numbers = [number for number, _ in one.fit.frames]
    if numbers != [number for number, _ in other.fit.frames]:
        return False
    pairs = [
        (one.folder.path / mine, other.folder.path / theirs)
        for (_, mine), (_, theirs) in zip(one.fit.frames, other.fit.frames, strict=True)
    ]
    if any(_size(mine) != _size(theirs) for mine, theirs in pairs):
        return False
    looked_into = {0, len(pairs) // 2, len(pairs) - 1}
    return all(filecmp.cmp(*pairs[position], shallow=False) for position in looked_into)


def _size(path: Path) -> int:
    return path.stat().st_size
