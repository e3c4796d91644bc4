"""Films in and out: the source's pictures in colour, and what was drawn on them as MP4."""

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av

from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.frames import Colour, read_colour, read_video_pictures

FOLDER_RATE = Fraction(25)
"""Pictures a second of a folder of frames, which does not say."""


def read_pictures(video: SourceVideo, root: Path) -> Iterator[tuple[int, Colour]]:
    """All frames of a video in colour, as (number, picture).

    Raises:
        OSError: If a file cannot be read.
        ValueError: If it is no image or no film.
    """
    place = root / video.folder
    if place.is_file():
        yield from read_video_pictures(place, (number for number, _ in video.frames))
        return
    for number, name in video.frames:
        yield number, read_colour(place / name)


def picture_rate(video: SourceVideo, root: Path) -> Fraction:
    """Pictures a second: the film's own, or `FOLDER_RATE`."""
    place = root / video.folder
    if not place.is_file():
        return FOLDER_RATE
    with av.open(str(place)) as container:
        rate = container.streams.video[0].average_rate
    return rate.limit_denominator(1001) if rate else FOLDER_RATE


def write_film(path: Path, pictures: Iterable[Colour], rate: Fraction) -> str:
    """Write pictures of one even size as MP4; returns the name of the codec.

    H.264 if this FFmpeg has it (browsers play it), else MPEG-4.

    Raises:
        ValueError: If there is no picture.
        OSError: If the file cannot be written.
    """
    codec: Literal["libx264", "mpeg4"] = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    pictures = iter(pictures)
    first = next(pictures, None)
    if first is None:
        raise ValueError("no picture to write")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "20"}
        else:
            stream.bit_rate = 4_000_000
        for picture in itertools.chain([first], pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return codec
