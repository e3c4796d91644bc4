"""One small film drawn by code, in as many disguises as people's files have.

`FilmVariant` and `FolderVariant` write the same pictures in another codec, container, shape of
pixels, depth, range, time base, turn, or scheme of names; what is read back must be the same.
"""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

CASES = Path(__file__).parents[2] / "shared" / "cases"
"""Small inputs that failed once, beside the project, where they are to be had."""

HEIGHT, WIDTH, COUNT = 54, 72, 24


def pictures(count: int = COUNT) -> list[NDArray[np.uint8]]:
    """Grey pictures `[54, 72]`: a smooth pattern that moves, and a bar that counts them."""
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH + 2 * COUNT))
    pattern = cv2.GaussianBlur(noise, (0, 0), 4)
    pattern = (pattern - pattern.min()) / np.ptp(pattern)
    drawn = []
    for k in range(count):
        picture = 40 + 170 * pattern[:, k : k + WIDTH]
        picture[:8, : 3 * (k % COUNT)] = 230
        drawn.append(picture.round().astype(np.uint8))
    return drawn


TURNS = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
MIRRORED = (-1, 0, 0, 1)
MATRIX_AT = 4 + 40
"""Bytes after the name of an MP4's track header."""


@dataclass(frozen=True)
class FilmVariant:
    """A disguise of the film."""

    suffix: str
    codec: str
    pixels: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()
    aspect: Fraction = Fraction(1)
    """Of a pixel: the stored pictures are narrower or lower by it."""
    turn: int = 0
    """Degrees with the clock by which it is to be shown turned; MP4 only."""
    mirrored: bool = False
    rate: Fraction = Fraction(25)
    tolerance: float = 4.0
    """Grey levels that a pixel may differ on average."""

    def write(self, path: Path, drawn: list[NDArray[np.uint8]] | None = None) -> Path:
        """Write it beside `path`, with the variant's suffix."""
        path = path.with_suffix(self.suffix)
        stored = [self._stored(picture) for picture in drawn or pictures()]
        write_film(
            path,
            stored,
            codec=self.codec,
            pixels=self.pixels,
            options=dict(self.options),
            aspect=self.aspect,
            rate=self.rate,
        )
        if self.turn or self.mirrored:
            turn_track(path, MIRRORED if self.mirrored else TURNS[self.turn])
        return path

    def _stored(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        turned = np.fliplr(picture) if self.mirrored else np.rot90(picture, self.turn // 90)
        height, width = turned.shape
        if self.aspect >= 1:
            width = round(width / self.aspect)
        else:
            height = round(height * self.aspect)
        turned = np.ascontiguousarray(turned)
        if (height, width) == turned.shape:
            return turned
        return cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA)


def write_film(
    path: Path,
    drawn: list[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    aspect: Fraction = Fraction(1),
    rate: Fraction = Fraction(25),
    stamps: list[int] | None = None,
    limited: bool = False,
) -> Path:
    """Grey pictures as a film; with `stamps`, shown at these milliseconds."""
    known = path.suffix not in {"", ".doc"}
    with av.open(str(path), "w", format=None if known else "mp4") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = drawn[0].shape
        stream.pix_fmt = pixels
        stream.options = options or {}
        stream.thread_count = 1
        if aspect != 1:
            stream.sample_aspect_ratio = aspect
        if limited:
            stream.codec_context.color_range = 1
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, picture in enumerate(drawn):
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            if pixels.startswith("gray16"):
                deep = picture.astype(np.uint16) << 4
                frame = av.VideoFrame.from_ndarray(deep, format="gray16le")
            if limited:
                frame.color_range = 1
            if stamps is not None:
                frame.pts, frame.time_base = stamps[k], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn_track(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write how an MP4 is to be shown into its track header (ISO 14496-12)."""
    content = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    at = content.index(b"tkhd") + MATRIX_AT
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


FILMS = {
    "h264": FilmVariant(".mp4", "libx264"),
    "h264 without b-frames": FilmVariant(".mov", "libx264", options=(("bf", "0"),)),
    "h264 open groups": FilmVariant(
        ".mkv", "libx264", options=(("x264-params", "open-gop=1:keyint=8:bframes=3"),)
    ),
    "h264 intra": FilmVariant(".m4v", "libx264", options=(("g", "1"),)),
    "h264 full range": FilmVariant(".mp4", "libx264", "yuvj420p"),
    "h264 ten bits": FilmVariant(".mp4", "libx264", "yuv420p10le"),
    "h264 4:2:2": FilmVariant(".mp4", "libx264", "yuv422p"),
    "transport stream": FilmVariant(".ts", "libx264"),
    "mts": FilmVariant(".m2ts", "libx264"),
    "flash": FilmVariant(".flv", "libx264"),
    "h265": FilmVariant(".mp4", "libx265", options=(("x265-params", "log-level=none"),)),
    "h265 ten bits": FilmVariant(
        ".mkv", "libx265", "yuv420p10le", options=(("x265-params", "log-level=none"),)
    ),
    "vp8": FilmVariant(".webm", "libvpx", options=(("deadline", "realtime"), ("b", "2M"))),
    "vp9": FilmVariant(".webm", "libvpx-vp9", options=(("deadline", "realtime"), ("b", "2M"))),
    "mjpeg": FilmVariant(".avi", "mjpeg", "yuvj420p", options=(("b", "4M"),)),
    "ffv1": FilmVariant(".mkv", "ffv1", "gray", tolerance=0.5),
    "ffv1 ten bits": FilmVariant(".mkv", "ffv1", "yuv420p10le", tolerance=1.5),
    "ffv1 twelve bits in sixteen": FilmVariant(".mkv", "ffv1", "gray16le", tolerance=0.5),
    "mpeg4": FilmVariant(".mp4", "mpeg4", options=(("b", "4M"),)),
    "mpeg4 with b-frames": FilmVariant(".avi", "mpeg4", options=(("b", "4M"), ("bf", "2"))),
    "mpeg2": FilmVariant(".mpg", "mpeg2video", options=(("b", "4M"), ("bf", "2"))),
    "prores": FilmVariant(".mov", "prores_ks", "yuv422p10le"),
    "wmv": FilmVariant(".wmv", "wmv2", options=(("b", "4M"),)),
    "raw": FilmVariant(".avi", "rawvideo", "yuv420p", tolerance=1.5),
    "wide pixels": FilmVariant(".mp4", "libx264", aspect=Fraction(3, 2)),
    "narrow pixels": FilmVariant(".mkv", "libx264", aspect=Fraction(8, 9)),
    "wide pixels, mpeg2": FilmVariant(
        ".mpg", "mpeg2video", options=(("b", "4M"),), aspect=Fraction(3, 2)
    ),
    "turned": FilmVariant(".mp4", "libx264", turn=90),
    "upside down": FilmVariant(".mov", "libx264", turn=180),
    "turned the other way": FilmVariant(".mp4", "libx264", turn=270),
    "mirrored": FilmVariant(".mp4", "libx264", mirrored=True),
    "turned, wide pixels": FilmVariant(".mp4", "libx264", turn=90, aspect=Fraction(3, 2)),
    "ntsc": FilmVariant(".mp4", "libx264", rate=Fraction(30000, 1001)),
    "film in matroska": FilmVariant(".mkv", "libx264", rate=Fraction(24000, 1001)),
    "fast": FilmVariant(".mp4", "libx264", rate=Fraction(200)),
    "no suffix": FilmVariant("", "libx264"),
    "wrong suffix": FilmVariant(".doc", "libx264"),
}
"""Of what people film with; each is to give the same clips."""


@dataclass(frozen=True)
class FolderVariant:
    """The film as images of a folder."""

    scheme: Callable[[int], str]
    suffixes: tuple[str, ...]
    shift: int | None = None
    """Bits by which 16-bit pixels are shifted; None for 8 bits."""
    seed: int = 0
    extra: str = ""
    """Another image that is no frame."""

    @property
    def tolerance(self) -> float:
        """As of `FilmVariant`."""
        return 2.0 if {".jpg", ".jpeg", ".JPG"} & set(self.suffixes) else 0.0

    def write(self, folder: Path) -> Path:
        """Write the images in a random order."""
        folder.mkdir(parents=True)
        chance = random.Random(self.seed)
        drawn = list(enumerate(pictures()))
        chance.shuffle(drawn)
        for k, picture in drawn:
            suffix = chance.choice(self.suffixes)
            deep = self.shift is not None and suffix.lower() in {".png", ".tif", ".tiff", ".pgm"}
            stored = picture.astype(np.uint16) << self.shift if deep else picture
            write_image(folder / f"{self.scheme(k)}{suffix}", stored)
        if self.extra:
            write_image(folder / self.extra, pictures(1)[0])
        return folder


def write_image(path: Path, picture: NDArray[np.generic]) -> Path:
    """One image file, JPEG of the best quality."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 98] if path.suffix.lower() in {".jpg", ".jpeg"} else []
    done, content = cv2.imencode(path.suffix, picture, options)
    assert done
    path.write_bytes(content.tobytes())
    return path
