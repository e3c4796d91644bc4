"""The frames of one source video, from its film or its folder, and what was found in them."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

from mol_pipeline.config import ReadingConfig
from mol_pipeline.contract.gaps import gaps_text, runs
from mol_pipeline.contract.rejections import Rejection
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.reading.films import FilmLog
from mol_pipeline.reading.frames import (
    Colour,
    Grey,
    Image,
    read_image,
    read_video_frames,
    read_video_pictures,
)
from mol_pipeline.reading.pictures import bits_used
from mol_pipeline.reading.source_faults import SourceFault, decode_patiently, read_patiently


class Footage:
    """Reads the frames of one video.

    Args:
        video: Whose frames.
        root: Of its database.
        config: What is done about damage.
    """

    def __init__(self, video: SourceVideo, root: Path, config: ReadingConfig) -> None:
        self._video = video
        self._place = root / video.folder
        self._config = config
        self._damaged: dict[int, str] = {}
        self._given: set[int] = set()
        self._bits: int | None = None
        self._aspects: set[Fraction] = set()

    def frames(self, positions: Sequence[int]) -> Iterator[tuple[int, Grey]]:
        """Frames as (position, grey `[height, width]`), in order, damaged or not.

        Raises:
            Rejection: If a file is no image.
            SourceFault: If a file cannot be reached.
        """
        if not any(name for _, name in self._video.frames):  # a film: its frames have no names
            yield from self._film_frames(positions)
            return
        for position in positions:
            name = self._video.frames[position][1]
            image = self._image(name)
            if image.damage:
                self._damaged[position] = image.damage
            yield position, image.picture(self._bits)

    def whole(self, frames: Iterable[tuple[int, Grey]]) -> Iterator[tuple[int, Grey]]:
        """Frames of one clip as they come, to be used together.

        Args:
            frames: Some of those of `frames`, in order.

        Raises:
            Rejection: If one is damaged and the setting is to reject. A film's frame may prove
                to be damaged only when a later one is decoded.
        """
        given: set[int] = set()
        for position, grey in frames:
            given.add(position)
            self._refuse(given)
            yield position, grey
        self._refuse(given)
        self._given |= given

    def _refuse(self, given: set[int]) -> None:
        damaged = given & self._damaged.keys()
        if damaged and self._config.damaged == "reject":
            first = min(damaged)
            number, name = self._video.frames[first]
            words = f"{name}: " if name else ""
            raise Rejection(
                "damaged-frame",
                f"{self._place}: frame {number} is damaged ({words}{self._damaged[first]}); "
                "replace the file, or keep such clips with reading.damaged=mark",
            )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was found and done, a sentence each; complete when all frames were given."""
        found = [
            f"pixels of aspect {aspect.numerator}:{aspect.denominator} made square"
            for aspect in sorted(self._aspects - {Fraction(1)})
        ]
        if self._bits is not None:
            found.append(f"{self._bits} of 16 bits are in use; all frames brought to 8 alike")
        damaged = sorted(self._given & self._damaged.keys())
        if damaged:
            numbers = gaps_text(runs(self._video.frames[one][0] for one in damaged))
            reason = self._damaged[damaged[0]]
            found.append(f"damaged frames in use: {numbers} ({reason})")
        return tuple(found)

    def _film_frames(self, positions: Sequence[int]) -> Iterator[tuple[int, Grey]]:
        position_of = {self._video.frames[position][0]: position for position in positions}
        log = FilmLog()
        decoded = decode_patiently(
            lambda left: read_video_frames(self._place, left, log),
            sorted(position_of),
            self._place,
            self._video.folder,
        )
        try:
            for number, grey in decoded:
                self._take(log, position_of)
                yield position_of[number], grey
        except SourceFault:
            raise
        except (OSError, ValueError) as error:
            raise Rejection("unreadable-frame", f"{self._place}: {_reason(error)}") from error
        self._take(log, position_of)

    def _take(self, log: FilmLog, position_of: dict[int, int]) -> None:
        self._bits = log.bits
        for number in log.damaged.keys() & position_of.keys():
            self._damaged.setdefault(position_of[number], log.damaged[number])

    def _image(self, name: str) -> Image:
        path = self._place / name
        try:
            image = read_patiently(partial(read_image, path), f"{self._video.folder}/{name}")
        except ValueError as error:
            raise Rejection("unreadable-frame", f"{path}: {error}") from error
        self._aspects.add(image.aspect)
        if image.is_deep and self._bits is None:
            self._bits = folder_bits(self._place, self._video)
        return image


def folder_bits(place: Path, video: SourceVideo) -> int:
    """Bits that the 16-bit images of a video use, over all of them.

    Raises:
        SourceFault: If a file cannot be reached: without it the bits are not known.
    """
    used = 0
    for _, name in video.frames:
        with contextlib.suppress(ValueError):  # named when it is asked for
            image = read_patiently(partial(read_image, place / name), f"{video.folder}/{name}")
            used |= image.used
    return bits_used(used)


def read_pictures(video: SourceVideo, root: Path) -> Iterator[tuple[int, Colour]]:
    """All frames of a video in colour, as (number, picture), to draw on them.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If it is no image or no film.
    """
    place = root / video.folder
    if place.is_file():
        yield from read_video_pictures(place, (number for number, _ in video.frames))
        return
    bits: int | None = None
    for number, name in video.frames:
        image = read_image(place / name, colour=True)
        if image.is_deep and bits is None:
            bits = folder_bits(place, video)
        yield number, image.picture(bits)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
