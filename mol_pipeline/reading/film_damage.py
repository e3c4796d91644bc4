"""Frames out of the decoder: their numbers, and which of them are damaged."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mol_pipeline.reading.film_packets import ALONE, Survey
from mol_pipeline.reading.jpeg_stream import jpeg_damage

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

LOGGED = frozenset({"ffv1", "hevc", "wmv1", "wmv2", "msmpeg4v2", "msmpeg4v3"})
"""Codecs whose decoders tell of damage in their log only, and of nothing else there."""
LOOK_AHEAD = 32
"""Frames after the last one asked for that may still prove it damaged."""


class Numbering:
    """Numbers of the frames that come out of the decoder, and which of them are damaged.

    Numbers are those of the time stamps, so that a frame that is lost keeps its own.
    """

    def __init__(self, survey: Survey, damaged: dict[int, str]) -> None:
        self._damaged = damaged
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


def shown_frames(
    container: "InputContainer", survey: Survey, numbering: Numbering | None = None
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


def _decoded(packet: "av.Packet", codec: str, numbering: Numbering | None) -> list["av.VideoFrame"]:
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
