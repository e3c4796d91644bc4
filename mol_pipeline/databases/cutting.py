"""The frames of a clip: the folder that holds most of them, cut to the annotated interval."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mol_pipeline.contract.gaps import gaps_between
from mol_pipeline.contract.manifest import IndexOptions, KeyFrames
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.candidates import Candidate, SeriesOf, best_folder
from mol_pipeline.databases.files import FrameFolder, list_series
from mol_pipeline.databases.fitting import may_be_renumbered, require_most
from mol_pipeline.databases.index import SourceVideo

FoundClip = tuple[AnnotatedClip, KeyFrames, list[FrameFolder]]
"""A possible row, and where its frames may be."""


@dataclass(frozen=True)
class FrameSet:
    """The clips of a database with their folders of one set of frames (raw, cropped)."""

    chosen: tuple[FoundClip, ...]
    rejected: tuple[tuple[AnnotatedClip, FrameFolder], ...]
    """Clips without a folder in it, and one of another set."""
    others: tuple[str, ...]
    """Topmost folders of the other sets."""


def fullest_set(found: Sequence[FoundClip]) -> FrameSet:
    """The set of frames that most clips are in; of equal ones that which the adapter prefers."""
    ranks = Counter(rank for *_, folders in found for rank in {one.rank for one in folders})
    rank = min(ranks, key=lambda one: (-ranks[one], one), default=0)
    chosen, rejected = [], []
    others: set[str] = set()
    for clip, key_frames, folders in found:
        fitting = [folder for folder in folders if folder.rank == rank]
        others |= {one.parts[0] for one in folders if one.rank != rank and one.parts}
        if fitting:
            chosen.append((clip, key_frames, fitting))
        else:
            rejected.append((clip, folders[0]))
    return FrameSet(tuple(chosen), tuple(rejected), tuple(sorted(others)))


@dataclass(frozen=True)
class Cut:
    """A clip with its frames, and what is odd about this copy."""

    video: SourceVideo
    notes: tuple[str, ...]
    doubt: str = ""
    """Why its frames may be others, if those of other clips of the copy are numbered anew."""


def cut(
    database: str,
    clip: AnnotatedClip,
    key_frames: KeyFrames,
    folders: list[FrameFolder],
    options: IndexOptions,
    *,
    renumbered: bool,
    trust_folder: bool,
    series_of: SeriesOf = list_series,
) -> Cut:
    """Choose the frames of a clip.

    Args:
        database: Its name.
        clip: As it is annotated.
        key_frames: Of it.
        folders: That may hold its frames; at least one.
        options: How the database is read.
        renumbered: See `fitting.fit`.
        trust_folder: Where the interval goes beyond a trimmed folder, end at its last frame.
        series_of: Lists a folder.

    Raises:
        Misfit: If no folder's frames can be taken as the clip's.
    """
    best, why = best_folder(
        folders, key_frames, options.numbers, anew=renumbered, series_of=series_of
    )
    doubt = ""
    if not best.fit.renumbered and may_be_renumbered(best.present, key_frames):
        doubt = (
            f"frames {best.present[0][0]}..{best.present[-1][0]} may be those of "
            f"{key_frames.onset}..{key_frames.offset} without its end, or numbered anew"
        )
    key_frames = best.fit.key_frames
    notes, remarks = [], [one for one in (why, best.fit.renumbered) if one]
    if why:
        notes.append(f"{clip.subject}/{clip.clip}: {why}")
    if best.fit.renumbered:
        notes.append("frames are numbered from the start of the clip; taken in order")
    chosen = best.fit.frames
    numbers, last = [number for number, _ in chosen], best.present[-1][0]
    ended, words = _ended(key_frames, last) if trust_folder else (key_frames, "")
    # A folder that reaches the apex is rather whole than the offset right.
    reaches_apex = key_frames.apex is not None and key_frames.apex <= last
    meant = _interval(ended if reaches_apex else key_frames, numbers)
    missing = gaps_between(numbers, *meant)
    require_most(best.folder.relative, len(chosen), missing, options.most_missing)
    key_frames = ended
    if words:
        notes.append(f"{clip.clip}: {words}")
        remarks.append(words)
    low, high = _interval(key_frames, numbers)
    if low > best.present[0][0] or high < best.present[-1][0]:
        notes.append("folders hold more frames than the annotated intervals; clips are cut")
    video = _video(database, clip, key_frames, best, (low, high), remarks)
    return Cut(video, tuple(notes), doubt)


def _interval(key_frames: KeyFrames, numbers: Sequence[int]) -> tuple[int, int]:
    """First and last frame of a clip: as annotated, else as there."""
    low = key_frames.onset if key_frames.onset is not None else numbers[0]
    high = key_frames.offset if key_frames.offset is not None else numbers[-1]
    return low, high


def _ended(key_frames: KeyFrames, last: int) -> tuple[KeyFrames, str]:
    """Key frames that do not go beyond a folder's last frame, and what was done to them."""
    offset, apex = key_frames.offset, key_frames.apex
    if offset is None or offset <= last:
        return key_frames, ""
    changes: dict[str, object] = {"offset": last, "offset_source": "corrected"}
    if apex is not None and apex > last:
        changes |= {"apex": None, "apex_source": "absent"}
    words = f"offset {offset} lies beyond the last frame {last}; cut there"
    return key_frames.model_copy(update=changes), words


def _video(
    database: str,
    clip: AnnotatedClip,
    key_frames: KeyFrames,
    best: Candidate,
    interval: tuple[int, int],
    remarks: list[str],
) -> SourceVideo:
    chosen = best.fit.frames
    return SourceVideo(
        database=database,
        subject=clip.subject,
        person=clip.person or f"{database}/{clip.subject}",
        clip=clip.clip,
        raw_label=clip.raw_label,
        key_frames=key_frames,
        folder=best.folder.relative,
        frames=chosen,
        missing=gaps_between((number for number, _ in chosen), *interval),
        annotations={name: text for name, text in clip.annotations.items() if text},
        remarks=(*remarks, *best.remarks),
    )
