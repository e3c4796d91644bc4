"""The packets of a film: which stream is the film, what is shown, and when; nothing is decoded."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mol_pipeline.contract.documents import check_ordinary
from mol_pipeline.contract.image_header import MOST_PIXELS, check_pixels
from mol_pipeline.reading.pictures import checked_aspect

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

NO_FILMS = frozenset({"hls", "concat", "dash", "sdp", "tty", "image2", "applehttp", "imf"})
"""What FFmpeg opens too, by its name there: lists of other files, text, numbered images."""
ONE_PICTURE = "_pipe"
"""How FFmpeg's names for single images end."""
STAMPED = frozenset({"mov", "mp4", "matroska", "webm"})
"""Containers that give every frame its own packet and time."""
HIDING = frozenset({"vp8", "mpeg4", "h263"})
"""Codecs with packets that show nothing, or two frames."""
ALONE = frozenset(
    {"mjpeg", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "prores", "dnxhd", "dvvideo"}
    | {"png", "v210", "magicyuv", "jpeg2000", "r210", "cfhd"}
)
"""Codecs whose every frame stands alone."""
ANNOUNCED = Fraction(1, 2)
"""Seconds by which a header may announce more: sound often lasts longer."""


@dataclass(frozen=True)
class Survey:
    """The packets of the film in a file, in their order."""

    place: int
    """Among the video streams."""
    codec: str
    plain: bool
    """Every packet is one shown frame at a known time: nothing need be decoded to count."""
    stamps: tuple[int | None, ...]
    """Of the packets that are shown."""
    keys: tuple[bool, ...]
    """Whether a frame stands alone."""
    hidden: int
    """Packets that an edit list leaves out."""
    time_base: Fraction
    aspect: Fraction
    remarks: tuple[str, ...]


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """FFmpeg's errors in the project's words.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If FFmpeg cannot make sense of it.
    """
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise
        raise ValueError(f"is not a video that can be decoded ({error.strerror})") from error


@contextlib.contextmanager
def opened_film(path: Path) -> Iterator["InputContainer"]:
    """Open a film; nothing but the file itself is read.

    Raises:
        ValueError: If it is a list of other files, or text.
    """
    import av

    check_ordinary(path)
    # A file may name others, on this machine or elsewhere: they are not opened.
    with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
        kinds = set(container.format.name.split(","))
        if kinds & NO_FILMS or container.format.name.endswith(ONE_PICTURE):
            raise ValueError(f"is not a film but {container.format.long_name}")
        for stream in container.streams.video:
            check_pixels(stream.width, stream.height)
            stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # it may grow later
        yield container


def survey_film(path: Path) -> Survey:
    """Look at every packet of a file; nothing is decoded.

    Raises:
        ValueError: If it holds no film.
    """
    with opened_film(path) as container:
        streams = container.streams.video
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise ValueError(f"holds no video stream, only {kinds}")
        packets: dict[int, list[Any]] = {stream.index: [] for stream in streams}
        hidden: Counter[int] = Counter()
        for packet in container.demux(*streams):
            if packet.size and packet.is_discard:
                hidden[packet.stream.index] += 1
            elif packet.size:
                packets[packet.stream.index].append((packet.pts, packet.is_keyframe))
        # A cover is one picture; of several films the one that players show.
        best = max(
            streams,
            key=lambda one: (
                len(packets[one.index]) > 1,
                not one.disposition & one.disposition.attached_pic,
                bool(one.disposition & one.disposition.default),
                len(packets[one.index]),
            ),
        )
        found = packets[best.index]
        if not found:
            raise ValueError("holds no picture")
        stamps = tuple(stamp for stamp, _ in found)
        keys = tuple(bool(key) for _, key in found)
        codec = best.codec_context.name
        aspect = best.sample_aspect_ratio or best.codec_context.sample_aspect_ratio or Fraction(1)
        return Survey(
            place=list(streams).index(best),
            codec=codec,
            plain=_is_plain(container.format.name, codec, stamps, keys),
            stamps=stamps,
            keys=keys,
            hidden=hidden[best.index],
            time_base=best.time_base or Fraction(1),
            aspect=checked_aspect(aspect),
            remarks=(*_others(packets, best.index), *_cut_short(container, best, stamps)),
        )


def _cut_short(
    container: "InputContainer", stream: "av.VideoStream", stamps: tuple[int | None, ...]
) -> Iterator[str]:
    """Whether the header announces a film that is longer than its frames."""
    known = [stamp for stamp in stamps if stamp is not None]
    if container.duration is None or not known or not stream.time_base:
        return
    announced = Fraction(container.duration, 1_000_000)
    # Some containers count from their first frame, some from zero.
    held = max(max(known), max(known) - min(known)) * stream.time_base
    if announced - held > max(ANNOUNCED, announced / 10):
        ends = f"its frames end at {float(held):.2f} s"
        yield f"its header announces {float(announced):.2f} s, {ends}"


def _others(packets: dict[int, list[Any]], chosen: int) -> Iterator[str]:
    """What else is in the file."""
    for index, found in packets.items():
        if index == chosen:
            continue
        if len(found) <= 1:
            yield f"stream {index} is a cover picture; left out"
        else:
            yield f"stream {chosen} taken; stream {index}, of {len(found)} frames, is left out"


def _is_plain(
    container: str, codec: str, stamps: tuple[int | None, ...], keys: tuple[bool, ...]
) -> bool:
    if codec in ALONE:
        return True
    if not STAMPED & set(container.split(",")) or codec in HIDING or None in stamps:
        return False
    # Frames before the first that stands alone cannot be made, stored or shown before it.
    return keys[0] and stamps[0] == min(stamps) and len(set(stamps)) == len(stamps)  # type: ignore[type-var]
