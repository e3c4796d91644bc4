"""Films out: what was drawn on a source's pictures as MP4, at the source's own times."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av

from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.reading.films import probe_film
from mol_pipeline.reading.frames import Colour

FOLDER_RATE = Fraction(25)
"""Pictures a second of a folder of frames, which does not say."""
TIME_BASE = Fraction(1, 60000)
"""Of films with unequal steps; MPEG-4 takes no finer one."""


@dataclass(frozen=True)
class Pace:
    """When the pictures of a film are shown."""

    rate: Fraction
    """Pictures a second, on average."""
    times: tuple[Fraction, ...] = ()
    """Seconds of each picture, where the steps are unequal; else empty."""


def source_pace(video: SourceVideo, root: Path) -> Pace:
    """The pace of a film, or of a folder whose names are times; else `FOLDER_RATE`.

    Raises:
        OSError: If a film cannot be read.
        ValueError: If it is none.
    """
    place = root / video.folder
    seconds: Sequence[Fraction] = [Fraction(time) for time in video.times]
    if place.is_file():
        known = probe_film(place).seconds
        last = video.frames[-1][0]
        seconds = [known[number] for number, _ in video.frames] if len(known) > last else []
    if len(seconds) < 2 or seconds[-1] <= seconds[0]:
        return Pace(Fraction(video.rate).limit_denominator(1001) if video.rate else FOLDER_RATE)
    rate = (len(seconds) - 1) / (seconds[-1] - seconds[0])
    times = tuple(moment - seconds[0] for moment in seconds) if video.times else ()
    return Pace(rate.limit_denominator(1001), times)


def write_film(path: Path, pictures: Iterable[Colour], pace: Pace | Fraction) -> str:
    """Write pictures of one even size as MP4; returns the name of the codec.

    H.264 if this FFmpeg has it (browsers play it), else MPEG-4.

    Args:
        path: New file.
        pictures: In order.
        pace: When each is shown, or how many a second.

    Raises:
        ValueError: If there is no picture.
        OSError: If the file cannot be written.
    """
    pace = Pace(pace) if isinstance(pace, Fraction) else pace
    codec: Literal["libx264", "mpeg4"] = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    pictures = iter(pictures)
    first = next(pictures, None)
    if first is None:
        raise ValueError("no picture to write")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=pace.rate)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        if pace.times:
            stream.codec_context.time_base = TIME_BASE
        if codec == "libx264":
            stream.options = {"crf": "20"}
        else:
            stream.bit_rate = 4_000_000
        stamp = -1
        for k, picture in enumerate(itertools.chain([first], pictures)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            if pace.times:
                stamp = max(stamp + 1, round(pace.times[k] / TIME_BASE))
                frame.pts, frame.time_base = stamp, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return codec
