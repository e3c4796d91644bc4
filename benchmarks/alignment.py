"""What each alignment leaves of the head's motion, and of a planted expression.

    python benchmarks/alignment.py [--portraits DIR] [--videos DIR] [--out FILE.json]
                                   [--picture FILE.png] [--only MOTION ...]

The photographs of the demo, and those of a folder, move as `moving_faces.py` says; the flow that a
build would store is compared with the true one. Without an expression: mean false motion a pair
over the inner 96 px. With one: end-point error where the face moves (more than a third of the
largest motion of its pair) and where it is still (less than 0.02 px). Films of people who talk:
motion of the bridge of the nose and of the cheeks, three frames apart. No picture goes into the
results.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from moving_faces import (
    MOTIONS,
    Face,
    Motion,
    MovingFace,
    demo_faces,
    folder_faces,
    move,
    still_part,
)
from numpy.typing import NDArray

from mol_pipeline.config import BuildConfig, DetectionConfig
from mol_pipeline.contract.flow_colour import flow_to_rgb
from mol_pipeline.kernels.alignment import alignment_transform, warp_to_aligned
from mol_pipeline.kernels.geometry import apply_transform
from mol_pipeline.kernels.light import match_light
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.reading.frames import read_grey, read_video_frames
from mol_pipeline.stages.placement import LandmarkPlacer, RegisteredPlacer
from mol_pipeline.stages.video import Kernels, load_kernels

INNER = (slice(24, 120), slice(24, 120))
STILL_PX = 0.02
FILM_STEP = 3
MODES = ("frame", "video", "registered", "truth")


def transforms_by_mode(
    frames: list[NDArray[np.uint8]], kernels: Kernels
) -> tuple[dict[str, list[NDArray[np.float64]]], NDArray[np.float64], int]:
    """Source -> aligned by each mode, landmarks of the first frame, number of distrusted frames."""
    tracker = FaceTracker(kernels.detector, kernels.predictor, DetectionConfig(confirm=False))
    found = [tracker.find(frame) for frame in frames]
    landmarks = {n: face.landmarks for n, face in enumerate(found) if face is not None}
    placer, placed = RegisteredPlacer(), {}
    for n, points in landmarks.items():
        placed[n] = placer.place(frames[n], points)
    left = [n for n, face in placed.items() if face is None]
    for n in left:
        placed[n] = placer.place_late(n, frames[n], landmarks)
    own = [alignment_transform(points) for points in landmarks.values()]
    by_mode = {"frame": own, "video": own[:1] * len(own)}
    by_mode["registered"] = [placed[n].transform for n in landmarks]
    return by_mode, landmarks[0], len(left)


def flows(
    frames: list[NDArray[np.uint8]],
    transforms: list[NDArray[np.float64]],
    kernels: Kernels,
    *,
    in_one_light: bool,
) -> list[NDArray[np.float32]]:
    """As a build stores them, before rounding to 16 bits."""
    pictures = [warp_to_aligned(f, t) for f, t in zip(frames, transforms, strict=True)]
    found = []
    for first, second in itertools.pairwise(pictures):
        moving = match_light(first, second) if in_one_light else second
        found.append(kernels.flow(first, moving))
    return found


def errors(
    face: Face, motion: Motion, clip: MovingFace, found: list[NDArray[np.float32]]
) -> tuple[float, float]:
    """End-point error where the face moves and where it is still; equal without an expression."""
    inner = np.zeros((144, 144), dtype=bool)
    inner[INNER] = True
    still = still_part(face, motion)
    moving, resting = [], []
    peak = max(float(np.hypot(*flow)[inner].max()) for flow in clip.flows)
    for flow, true in zip(found, clip.flows, strict=True):
        error, length = np.hypot(*(flow - true)), np.hypot(*true)
        if motion.expression:
            if length[inner].max() > peak / 10:
                moving.append(error[inner & (length > length[inner].max() / 3)].mean())
            resting.append(error[inner & (length < STILL_PX)].mean())
        else:
            # Of a blink only what holds still counts; a turn out of the plane counts whole.
            resting.append(error[still].mean())
    if not motion.expression:
        return float(np.mean(resting)), float(np.mean(resting))
    return float(np.mean(moving)), float(np.mean(resting))


def measure_face(
    face: Face, motions: list[Motion], seed: int, kernels: Kernels
) -> dict[str, dict[str, tuple[float, float]]]:
    """Motion -> mode -> errors of one face."""
    table = {}
    for motion in motions:
        clip = move(face, motion, seed)
        by_mode, _, left = transforms_by_mode(clip.frames, kernels)
        by_mode["truth"] = clip.transforms
        table[motion.name] = {
            mode: errors(
                face,
                motion,
                clip,
                flows(
                    clip.frames,
                    by_mode[mode],
                    kernels,
                    in_one_light=mode in {"registered", "truth"},
                ),
            )
            for mode in MODES
        }
        table[motion.name]["distrusted"] = (float(left), float(left))
    return table


def summary(
    faces: list[dict[str, dict[str, tuple[float, float]]]], motion: Motion
) -> dict[str, Any]:
    """One row: means and the worst face."""
    row: dict[str, Any] = {"motion": motion.name, "faces": len(faces)}
    for mode in MODES:
        values = np.array([face[motion.name][mode] for face in faces])
        row[mode] = {"mean": values[:, 0].mean(), "worst": values[:, 0].max()}
        if motion.expression:
            row[mode]["still mean"] = values[:, 1].mean()
            row[mode]["still worst"] = values[:, 1].max()
    if motion.expression:
        ratios = [
            face[motion.name]["registered"][0] / face[motion.name]["truth"][0] for face in faces
        ]
        row["registered over truth"] = {
            "mean": row["registered"]["mean"] / row["truth"]["mean"],
            "worst": max(ratios),
        }
    row["distrusted frames"] = sum(face[motion.name]["distrusted"][0] for face in faces)
    return row


def films(folder: Path) -> Iterator[tuple[str, list[NDArray[np.uint8]]]]:
    """Every third frame of each film or folder of frames."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield path.name, [read_grey(one) for one in sorted(path.iterdir())[::FILM_STEP]]
        elif path.suffix == ".mp4":
            numbers = range(0, 60, FILM_STEP)
            yield path.stem, [grey for _, grey in read_video_frames(path, numbers)]


def measure_film(name: str, frames: list[NDArray[np.uint8]], kernels: Kernels) -> dict[str, Any]:
    """Mean motion a pair of three places of a face that talks, by mode."""
    by_mode, landmarks, left = transforms_by_mode(frames, kernels)
    points = apply_transform(by_mode["video"][0], landmarks)
    places = {
        "bridge": points[27:29].mean(axis=0),
        "left cheek": points[41] + np.array([0, 18]),
        "right cheek": points[46] + np.array([0, 18]),
    }
    row: dict[str, Any] = {"film": name, "frames": len(frames), "distrusted frames": left}
    for mode in MODES[:3]:
        found = flows(frames, by_mode[mode], kernels, in_one_light=mode == "registered")
        lengths = [np.hypot(*flow) for flow in found]
        row[mode] = {}
        for place, (x, y) in places.items():
            part = (slice(round(y) - 3, round(y) + 4), slice(round(x) - 3, round(x) + 4))
            row[mode][place] = float(np.mean([length[part].mean() for length in lengths]))
        row[mode]["mean"] = float(np.mean(list(row[mode].values())))
    row["ratio"] = row["registered"]["mean"] / min(row["frame"]["mean"], row["video"]["mean"])
    return row


def cost(face: Face, rounds: int = 9) -> dict[str, float]:
    """Milliseconds a frame on one core at 650x960, taken in turns."""
    height = 650
    scale = height / len(face.grey)
    sized = cv2.resize(face.grey, (round(face.grey.shape[1] * scale), height))
    canvas = np.full((height, 960), 150, dtype=np.uint8)
    canvas[:, : sized.shape[1]] = sized[:, :960]
    landmarks = face.landmarks * scale
    rng = np.random.default_rng(0)
    frames = [
        np.clip(np.roll(canvas, n % 4, axis=1) + rng.normal(0, 1, canvas.shape), 0, 255)
        for n in range(16)
    ]
    frames = [frame.astype(np.uint8) for frame in frames]
    spent: dict[str, list[float]] = {"landmarks": [], "registered": []}
    for _ in range(rounds):
        for name, placer in (
            ("landmarks", LandmarkPlacer(is_common=False)),
            ("registered", RegisteredPlacer()),
        ):
            placer.place(frames[0], landmarks)
            start = time.perf_counter()
            for n, frame in enumerate(frames[1:], start=1):
                placer.place(frame, landmarks + np.array([n % 4, 0]))
            spent[name].append(1000 * (time.perf_counter() - start) / (len(frames) - 1))
    picture = warp_to_aligned(frames[0], alignment_transform(landmarks))
    start = time.perf_counter()
    for _ in range(50):
        match_light(picture, picture)
    light = 1000 * (time.perf_counter() - start) / 50
    return {name: statistics.median(values) for name, values in spent.items()} | {"light": light}


def draw(faces: list[Face], kernels: Kernels, path: Path) -> None:
    """The flow that each mode stores of one pair of frames, for the documentation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    motion = Motion("smile 1 px", sway_px=1.5, expression="smile", peak_px=1.0)
    figure = Figure(figsize=(9.5, 2.1 * len(faces)), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(faces), 5, squeeze=False)
    for row, face in zip(axes, faces, strict=True):
        clip = move(face, motion, seed=3)
        by_mode, _, _ = transforms_by_mode(clip.frames, kernels)
        picture = warp_to_aligned(clip.frames[2], by_mode["registered"][2])
        row[0].imshow(picture, cmap="gray", vmin=0, vmax=255)
        row[0].set_title("frame", fontsize=9)
        pairs = slice(2, 4)
        for axis, mode in zip(row[1:4], MODES[:3], strict=True):
            found = flows(
                clip.frames[pairs], by_mode[mode][pairs], kernels, in_one_light=mode == "registered"
            )
            axis.imshow(flow_to_rgb(found[0], 0.5))
            axis.set_title(f"{mode}: {np.hypot(*found[0])[INNER].mean():.2f} px", fontsize=9)
        row[4].imshow(flow_to_rgb(clip.flows[2].astype(np.float32), 0.5))
        row[4].set_title(f"planted: {np.hypot(*clip.flows[2])[INNER].mean():.2f} px", fontsize=9)
        for axis in row:
            axis.set_axis_off()
    figure.savefig(path, metadata={"Software": None})


def show(
    rows: list[dict[str, Any]], talking: list[dict[str, Any]], spent: dict[str, float]
) -> None:
    """The tables, on the screen."""
    for row in rows:
        words = [f"{row['motion']:15}"]
        for mode in MODES:
            one = row[mode]
            still = f"/{one['still mean']:.3f}" if "still mean" in one else ""
            worst = f"/{one['still worst']:.3f}" if still else ""
            words.append(f"{mode} {one['mean']:.3f}{still} (worst {one['worst']:.3f}{worst})")
        if "registered over truth" in row:
            ratio = row["registered over truth"]
            words.append(f"ratio {ratio['mean']:.2f} (worst {ratio['worst']:.2f})")
        print("  ".join(words))
    for row in talking:
        means = ", ".join(f"{mode} {row[mode]['mean']:.3f}" for mode in MODES[:3])
        print(f"{row['film']}: {means}; ratio {row['ratio']:.2f}")
    print(
        f"milliseconds a frame at 650x960: by landmarks {spent['landmarks']:.1f}, registered "
        f"{spent['registered']:.1f}; light of a pair {spent['light']:.1f}"
    )


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portraits", type=Path, help="folder with photographs of faces")
    parser.add_argument("--videos", type=Path, help="folder with films of people who talk")
    parser.add_argument("--only", nargs="+", help="names of motions")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--picture", type=Path, help="of the two photographs of the demo")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    kernels = load_kernels(BuildConfig().flow, None)
    motions = [one for one in MOTIONS if not options.only or one.name in options.only]
    demo = demo_faces()
    spent = cost(demo[0])
    measured = []
    faces = [*demo, *(folder_faces(options.portraits) if options.portraits else ())]
    for number, face in enumerate(faces):
        measured.append(measure_face(face, motions, number, kernels))
        print(f"{number + 1} of {len(faces)} faces", flush=True)
    rows = [summary(measured, motion) for motion in motions]
    talking = [
        measure_film(name, frames, kernels)
        for name, frames in (films(options.videos) if options.videos else ())
    ]
    show(rows, talking, spent)
    if options.out:
        found = {"motions": rows, "films": talking, "milliseconds a frame": spent}
        rounded = json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 4))
        options.out.write_text(json.dumps(rounded, indent=1) + "\n")
    if options.picture:
        draw(demo, kernels, options.picture)


if __name__ == "__main__":
    main()
