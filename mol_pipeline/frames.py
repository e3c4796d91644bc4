"""Reading frames: images of a folder, or pictures of a video file.

Convention: in a video file the first frame is number 0, and every frame before the one
asked for is decoded, so that numbers are exact whatever the container's index says. A film
that a telephone took on its side is turned upright, as its file says.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mov", ".mkv", ".m4v", ".wmv"})

Grey = NDArray[np.uint8]
Colour = NDArray[np.uint8]
"""`[height, width, 3]`, blue, green, red: OpenCV's order."""


def read_grey(path: Path) -> Grey:
    """Read an image file as grey `[height, width]`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no image.
    """
    return _decoded(path, cv2.IMREAD_GRAYSCALE)


def read_colour(path: Path) -> Colour:
    """Read an image file in colour, to draw on it.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no image.
    """
    return _decoded(path, cv2.IMREAD_COLOR)


def _decoded(path: Path, flags: int) -> NDArray[np.uint8]:
    content = np.fromfile(path, dtype=np.uint8)
    image = cv2.imdecode(content, flags) if content.size else None
    if image is None:
        raise ValueError("is not an image; replace the file")
    return image


def read_video_frames(path: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Grey]]:
    """Chosen frames of a video file as (number, grey `[height, width]`), in order.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no video, or ends before a frame that is asked for.
    """
    for number, colour in read_video_pictures(path, numbers):
        yield number, cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)


def read_video_pictures(path: Path, numbers: Iterable[int]) -> Iterator[tuple[int, Colour]]:
    """Chosen frames of a video file as (number, colour), in order, upright.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no video, or ends before a frame that is asked for.
    """
    import av

    wanted = sorted(set(numbers))
    found = 0
    try:
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if found == len(wanted):
                    return
                if number == wanted[found]:
                    found += 1
                    # FFmpeg gives the turn that shows it upright, in degrees against the clock.
                    picture = frame.to_ndarray(format="bgr24")
                    yield number, np.ascontiguousarray(np.rot90(picture, frame.rotation // 90))
    except (av.error.FFmpegError, IndexError) as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise
        raise ValueError(f"is not a video that can be decoded ({error})") from error
    if found < len(wanted):
        raise ValueError(f"ends before frame {wanted[found]}; is the file cut short?")


def count_video_frames(path: Path) -> int:
    """Number of pictures in a video file, from its packets: nothing is decoded.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no video or holds no picture.
    """
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            count = sum(1 for packet in container.demux(stream) if packet.size)
    except (av.error.FFmpegError, IndexError) as error:
        if isinstance(error, OSError) and not isinstance(error, ValueError):
            raise
        raise ValueError(f"is not a video that can be read ({error})") from error
    if not count:
        raise ValueError("holds no picture")
    return count
