"""What is drawn of one video: the annotated film, a still of it, the figures of one clip."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import av

from mol_model.config.run_layout import FLOW_NAME, LANDMARKS_NAME, PICTURE_NAMES, WARP_NAME
from mol_model.inference.estimate import ExampleClip, WindowEstimate
from mol_model.inference.film import source_pace, write_film
from mol_model.inference.mapping import points_to_source
from mol_model.inference.overlay import FrameMarks, arrow_scale, draw_marks
from mol_model.inference.video import PreparedWindow
from mol_model.pictures.figures import draw_flow, draw_landmark_frames, draw_warp, save_picture
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.reading.frames import Colour
from mol_pipeline.stages.footage import read_pictures

FILM = "annotated.mp4"
STILL = "frame.png"
DRAWN = (FILM, STILL, *PICTURE_NAMES)

Seen = Sequence[tuple[PreparedWindow, WindowEstimate]]


def draw_video(
    video: SourceVideo, root: Path, seen: Seen, classes: Sequence[str], folder: Path, *, film: bool
) -> list[str]:
    """Write the figures of the clip that moves most and, if asked for, the film.

    Args:
        video: The source.
        root: The folder that it lies in.
        seen: Its windows and what the network says of them; at least one.
        classes: Names of the classes.
        folder: Where to.
        film: Whether to write the film and a still of it.

    Returns:
        Sentences about what went wrong.
    """
    example = max((estimate.example for _, estimate in seen), key=lambda clip: clip.motion)
    draw_figures(example, folder)
    if not film:
        return []
    marks = frame_marks(seen, classes)
    still = int(example.source_frames[len(example.source_frames) // 2])
    try:
        pictures = _annotated(video, root, marks, still, folder / STILL)
        codec = write_film(folder / FILM, pictures, source_pace(video, root))
    except (OSError, ValueError, av.FFmpegError) as error:
        (folder / FILM).unlink(missing_ok=True)
        return [f"The annotated film could not be written ({' '.join(str(error).split())})."]
    if codec != "libx264":
        return ["The annotated film is MPEG-4, as this FFmpeg has no H.264: few browsers play it."]
    return []


def frame_marks(seen: Seen, classes: Sequence[str]) -> dict[int, FrameMarks]:
    """What is drawn on each frame that is in a clip, by its number."""
    marks: dict[int, FrameMarks] = {}
    for window, estimate in seen:
        words = "no expression head"
        if estimate.probabilities:
            best = sorted(zip(estimate.probabilities, classes, strict=True), reverse=True)
            words = "   ".join(f"{name} {100 * chance:.0f} %" for chance, name in best[:3])
        looked = sorted(window.others, reverse=True)
        for clip, dlib, transforms in zip(
            estimate.clips, window.landmarks, window.transforms, strict=True
        ):
            for k, number in enumerate(clip.source_frames.tolist()):
                mark = marks[number] = FrameMarks(
                    dlib=points_to_source(dlib[k], transforms[k], 0.0),
                    # The detector looks only when in doubt: until then they are where they were.
                    others=next((window.others[n] for n in looked if n <= number), ()),
                    captions=[f"window {window.first} to {window.last}:   {words}"],
                )
                if clip.landmarks is not None and k > 0:
                    mark.landmarks = clip.landmarks[k - 1]
                if clip.arrows is None or clip.arrow_starts is None or k == len(clip.arrows):
                    continue
                mark.arrow_starts, mark.arrows = clip.arrow_starts[k], clip.arrows[k]
    return marks


def _annotated(
    video: SourceVideo, root: Path, marks: dict[int, FrameMarks], still: int, path: Path
) -> Iterator[Colour]:
    """Every frame of a video with its marks; that of number `still` also goes to `path`."""
    magnification, peak = arrow_scale(marks.values())
    for number, picture in read_pictures(video, root):
        mark = marks.get(number, FrameMarks(captions=["not in a clip"]))
        arrows = f"flow arrows x {magnification}" if mark.arrows is not None else ""
        mark.captions = [
            f"frame {number}   {mark.captions[0]}   {arrows}",
            "Dlib cyan, network red. A recognised expression is no proof of what a person feels.",
        ]
        drawn = draw_marks(picture, mark, magnification, peak)
        if number == still:
            save_picture(drawn[..., ::-1], path)
        yield drawn


def draw_figures(example: ExampleClip, folder: Path) -> None:
    """Flow, warped frames and landmarks of a clip, in the crop that the network sees."""
    labels = [str(number) for number in example.source_frames]
    if example.flow is not None:
        title = "the network's flow between the frames of a clip"
        draw_flow(example.frames, example.flow, folder / FLOW_NAME, title=title, labels=labels)
        title = "later frame warped back by the network's flow (Eq. 11)"
        draw_warp(example.frames, example.flow, folder / WARP_NAME, title=title, labels=labels)
    if example.landmarks is not None:
        draw_landmark_frames(
            example.frames[1:],
            example.landmarks,
            folder / LANDMARKS_NAME,
            title="landmarks: Dlib cyan, the network red",
            truth=example.dlib,
            labels=labels[1:],
        )
