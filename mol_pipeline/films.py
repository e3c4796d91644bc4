"""Films: which of their frames are shown, when, and what they look like.

Convention: the first frame that is shown is number 0. What a film says of itself is followed:
its edit list, its time stamps, the shape of its pixels, its turn and mirroring, its range. A
frame that the decoder calls damaged is named, and so is every frame that was made from it.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.documents import check_ordinary
from mol_pipeline.contract.image_header import MOST_PIXELS, check_pixels
from mol_pipeline.jpeg_stream import jpeg_damage
from mol_pipeline.pictures import (
    Colour,
    Grey,
    bits_used,
    checked_aspect,
    grey_of_bits,
    in_square_pixels,
)

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
LOGGED = frozenset({"ffv1", "hevc", "wmv1", "wmv2", "msmpeg4v2", "msmpeg4v3"})
"""Codecs whose decoders tell of damage in their log only, and of nothing else there."""
LOOK_AHEAD = 32
"""Frames after the last one asked for that may still prove it damaged."""


@dataclass(frozen=True)
class Film:
    """What a film holds, found without keeping a picture."""

    frames: int
    """That are shown."""
    seconds: tuple[Fraction, ...]
    """Since the first, of every frame; empty where the film does not say."""
    remarks: tuple[str, ...]
    """What is changed, left out or assumed, a sentence each."""


@dataclass
class FilmLog:
    """What was found while a film was read."""

    damaged: dict[int, str] = field(default_factory=dict)
    """Number of a frame -> what is wrong with it."""
    bits: int | None = None
    """In use, of a film of 16 bits; None for others."""


@dataclass(frozen=True)
class _Survey:
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


def probe_film(path: Path) -> Film:
    """Count the frames of a film as they are shown, and say what it is like.

    Packets are counted where they are known to be frames; else the film is decoded.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no film.
    """
    with _named_errors():
        survey = _survey(path)
        with _opened(path) as container:
            frames = _shown(container, survey)
            first = next(frames, None)
            if first is None:
                raise ValueError("holds no picture that can be decoded")
            stamps: Sequence[int | None]
            # Fields of half the lines may have packets of their own.
            if survey.plain and not first.interlaced_frame:
                stamps = survey.stamps
                if None not in stamps:
                    stamps = sorted(stamps)  # type: ignore[type-var]
            else:
                stamps = [first.pts, *(frame.pts for frame in frames)]
            remarks = [*survey.remarks, *_look(first, survey)]
    seconds = _seconds(stamps, survey.time_base)
    left_out = max(0, len(survey.stamps) - len(stamps))
    if survey.hidden:
        remarks.append(f"its edit list leaves out {survey.hidden} stored frames")
    if left_out and not first.interlaced_frame:
        remarks.append(f"{left_out} stored frames cannot be shown: it begins inside a group")
    if not seconds and len(stamps) > 1:
        remarks.append("it gives no time stamps: equal steps are assumed")
    return Film(len(stamps), seconds, tuple(remarks))


def read_video_frames(
    path: Path, numbers: Iterable[int], log: FilmLog | None = None
) -> Iterator[tuple[int, Grey]]:
    """Chosen frames of a film as (number, grey `[height, width]`), in order, upright.

    A 16-bit film is read twice: first to see which bits it uses.

    Args:
        path: The film.
        numbers: Of frames that are shown, from 0.
        log: Takes what is found; damage is complete when the last frame was given.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no film, or a frame that is asked for cannot be decoded.
    """
    yield from _read(path, numbers, log or FilmLog(), grey=True)


def read_video_pictures(path: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Colour]]:
    """Chosen frames of a film in colour; see `read_video_frames`."""
    for number, picture in _read(path, numbers, FilmLog(), grey=False):
        yield number, picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)


def _read(
    path: Path, numbers: Iterable[int], log: FilmLog, *, grey: bool
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    wanted = sorted(set(numbers))
    if not wanted:
        return
    found = beyond = 0
    with _named_errors():
        survey = _survey(path)
        bits = log.bits = _bits_of(path, survey)
        numbering = _Numbering(survey, log)
        with _opened(path) as container:
            for frame in _shown(container, survey, numbering):
                number = numbering.take(frame)
                if found < len(wanted) and number == wanted[found]:
                    numbering.check()
                    found += 1
                    yield number, _picture(frame, survey.aspect, bits, grey=grey)
                elif found < len(wanted) and number > wanted[found]:
                    break  # one that is asked for was lost
                elif found == len(wanted):
                    beyond += 1
                    if beyond > LOOK_AHEAD or survey.codec in ALONE:
                        break
    if found < len(wanted):
        lost = wanted[found]
        if lost in log.damaged or numbering.count > lost:
            raise ValueError(f"frame {lost} is damaged and cannot be decoded")
        raise ValueError(f"ends before frame {lost}; is the file cut short?")


class _Numbering:
    """Numbers of the frames that come out of the decoder, and which of them are damaged.

    Numbers are those of the time stamps, so that a frame that is lost keeps its own.
    """

    def __init__(self, survey: _Survey, log: FilmLog) -> None:
        self._damaged = log.damaged
        self._survey = survey
        self._alone = survey.codec in ALONE
        stamps = [stamp for stamp in survey.stamps if stamp is not None]
        usable = survey.plain and len(set(stamps)) == len(survey.stamps)
        self._number = {stamp: k for k, stamp in enumerate(sorted(stamps))} if usable else {}
        self._stored = {stamp: k for k, stamp in enumerate(stamps)} if usable else {}
        self._packet: av.Packet | None = None
        self._last_key = 0
        self._taint = ""
        self.count = 0
        """Numbers that were given."""

    def packet(self, packet: "av.Packet") -> None:
        """Note what is about to be decoded."""
        self._packet = packet

    def failed(self, packet: "av.Packet") -> None:
        """Note a packet that cannot be decoded: its frame is lost."""
        words = "it cannot be decoded"
        if packet.pts in self._stored:
            self._mark_made_from(packet.pts, words)
        elif self._alone:
            self._damaged[self.count] = words
            self.count += 1
        else:
            self._mark_group(self.count, words)

    def suspect(self, packet: "av.Packet") -> None:
        """Note a packet whose data its decoder does not believe; its frame will come."""
        words = "the decoder's log names an error in it"
        if packet.pts in self._stored:
            self._mark_made_from(packet.pts, words)
        else:
            self._mark_group(self.count, words)
            self._taint = f"it is in a group with frame {self.count}: {words}"

    def take(self, frame: "av.VideoFrame") -> int:
        """Number of the next frame."""
        number = self.count if frame.pts is None else self._number.get(frame.pts, self.count)
        self.count = number + 1
        if frame.key_frame or self._alone:
            self._last_key, self._taint = number, ""
        if self._taint:
            self._damaged.setdefault(number, self._taint)
        if frame.is_corrupt:
            words = "the decoder finds it damaged"
            if self._alone:
                self._damaged[number] = words
            elif frame.pts in self._stored:
                self._mark_made_from(frame.pts, words)
            else:
                self._mark_group(number, words)
        return number

    def check(self) -> None:
        """Look into the data of the frame that was taken last, where it is one JPEG."""
        if self._survey.codec == "mjpeg" and self._packet is not None:
            damage = jpeg_damage(bytes(self._packet))
            if damage:
                self._damaged.setdefault(self.count - 1, damage)

    def _mark_made_from(self, stamp: int, words: str) -> None:
        """A frame, and all that are stored after it up to the next that stands alone."""
        keys, stamps = self._survey.keys, self._survey.stamps
        first = self._stored[stamp]
        end = next((k for k in range(first + 1, len(keys)) if keys[k]), len(keys))
        made = {stamp for stamp in stamps[first:end] if stamp is not None}
        if end < len(keys):  # stored after that one, but shown before it
            key = stamps[end]
            following = stamps[end : end + LOOK_AHEAD]
            made |= {one for one in following if one is not None and key is not None and one < key}
        number = self._number[stamp]
        self._damaged[number] = words
        for one in made - {stamp}:
            self._damaged.setdefault(self._number[one], f"it is made from frame {number}: {words}")

    def _mark_group(self, number: int, words: str) -> None:
        """Without times nobody knows what was made from what: the whole group is damaged."""
        for one in range(self._last_key, number + 1):
            self._damaged.setdefault(one, words)
        self._taint = f"it is in a group with frame {number}: {words}"


def _picture(
    frame: "av.VideoFrame", aspect: Fraction, bits: int | None, *, grey: bool
) -> NDArray[np.uint8]:
    """One frame, upright, with square pixels, grey or blue, green, red."""
    picture: Any
    if bits is not None:
        deep: Any = frame.to_ndarray(format="gray16le")
        picture = grey_of_bits(deep, bits)
    else:
        picture = frame.to_ndarray(format="bgr24")
        if frame.format.name.startswith("gray") and frame.color_range == LIMITED:
            picture = cv2.convertScaleAbs(picture.clip(16, 235) - 16, alpha=255 / 219)
    picture = _upright(in_square_pixels(picture, aspect), frame)
    if grey and picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return picture


LIMITED = 1
"""FFmpeg's number of the range from 16 to 235."""


def _bits_of(path: Path, survey: _Survey) -> int | None:
    """Bits that a 16-bit film uses, None for other films."""
    used = 0
    with _opened(path) as container:
        for frame in _shown(container, survey):
            if _bits(frame) < 16:
                return None
            used |= int(np.bitwise_or.reduce(frame.to_ndarray(format="gray16le"), axis=None))
    return bits_used(used)


def _bits(frame: "av.VideoFrame") -> int:
    return max(part.bits for part in frame.format.components)


def _matrix(frame: "av.VideoFrame") -> NDArray[np.int64] | None:
    """How the picture is to be shown: `x' = a x + c y`, `y' = b x + d y` as `[[a, b], [c, d]]`."""
    side_data: Any = frame.side_data
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            whole = np.frombuffer(bytes(data), dtype="<i4").reshape(3, 3)[:2, :2]
            return np.sign(np.where(np.abs(whole) < 2**8, 0, whole)).astype(np.int64)
    return None


def _upright(picture: NDArray[np.uint8], frame: "av.VideoFrame") -> NDArray[np.uint8]:
    """Turned and mirrored as the film says."""
    matrix = _matrix(frame)
    if matrix is None:
        return np.ascontiguousarray(np.rot90(picture, frame.rotation // 90))
    (a, b), (c, d) = matrix
    if a and d and not b and not c:
        across, down = a, d
    elif b and c and not a and not d:
        picture, across, down = np.swapaxes(picture, 0, 1), c, b
    else:
        return picture  # turned by less than a quarter: said, not followed
    return np.ascontiguousarray(picture[::down, ::across])


def _look(frame: "av.VideoFrame", survey: _Survey) -> Iterator[str]:
    """What the first frame says about the film."""
    bits = _bits(frame)
    if survey.aspect != 1:
        yield f"pixels of aspect {survey.aspect.numerator}:{survey.aspect.denominator} made square"
    matrix = _matrix(frame)
    if matrix is not None and np.count_nonzero(matrix) != 2:
        yield "its turn by less than a quarter is not followed"
    elif matrix is not None and np.linalg.det(matrix) < 0:
        yield "mirrored, as it says"
    elif frame.rotation % 360:
        yield f"turned by {frame.rotation % 360} degrees, as it says"
    if bits > 8:
        words = "by the bits in use" if bits >= 16 else "by its range"
        yield f"{bits} bits brought to 8 {words}"
    if frame.interlaced_frame:
        yield "interlaced: each frame holds two moments, which are not separated"


def _seconds(stamps: Sequence[int | None], time_base: Fraction) -> tuple[Fraction, ...]:
    """Seconds since the first frame; empty if a time is missing or runs backwards."""
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps) or not known:
        return ()
    if any(later < earlier for earlier, later in itertools.pairwise(known)):
        return ()
    return tuple((stamp - known[0]) * time_base for stamp in known)


@contextlib.contextmanager
def _named_errors() -> Iterator[None]:
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
def _opened(path: Path) -> Iterator["InputContainer"]:
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


def _shown(
    container: "InputContainer", survey: _Survey, numbering: _Numbering | None = None
) -> Iterator["av.VideoFrame"]:
    """Frames as they are shown; a packet that cannot be decoded is noted and passed over."""
    import av

    stream = container.streams.video[survey.place]
    # With several threads for the parts of a frame FFmpeg forgets which frame was damaged.
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    for packet in container.demux(stream):
        if numbering is not None:
            numbering.packet(packet)
        try:
            frames = _decoded(packet, survey.codec, numbering)
        except (av.error.InvalidDataError, av.error.PatchWelcomeError):
            if numbering is not None:
                numbering.failed(packet)
            continue
        yield from frames


def _decoded(
    packet: "av.Packet", codec: str, numbering: _Numbering | None
) -> list["av.VideoFrame"]:
    """What comes out of the decoder after a packet; what it complains of is noted."""
    import av.logging

    if numbering is None or codec not in LOGGED:
        return packet.decode()  # type: ignore[return-value]
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True) as messages:
            frames = packet.decode()
    finally:
        av.logging.set_level(level)
    if messages:
        numbering.suspect(packet)
    return frames  # type: ignore[return-value]


def _survey(path: Path) -> _Survey:
    """Look at every packet of a file; nothing is decoded.

    Raises:
        ValueError: If it holds no film.
    """
    with _opened(path) as container:
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
        return _Survey(
            place=list(streams).index(best),
            codec=codec,
            plain=_is_plain(container.format.name, codec, stamps, keys),
            stamps=stamps,
            keys=keys,
            hidden=hidden[best.index],
            time_base=best.time_base or Fraction(1),
            aspect=checked_aspect(aspect),
            remarks=tuple(_others(packets, best.index)),
        )


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
