"""Time preparation against a straightforward pipeline on the same frames, in one run.

    python benchmarks/prep.py [--size 650x960] [--frames 64] [--runs 3] [--out FILE.json]

Straightforward is what published scripts do: every image decoded twice, Dlib's detector with
one upsampling on every frame, one process, OpenCV's TV-L1 on five crops of every pair. Ours is the
code of `mol_pipeline.stages.video`, with flow by numba and again with flow by OpenCV, which must
be equal. All use the same Dlib and the same OpenCV. The face is a photograph that moves by a few
pixels.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mol_pipeline.config import BuildConfig, DetectionConfig
from mol_pipeline.databases.demo.faces import load_portrait
from mol_pipeline.kernels import sampling
from mol_pipeline.kernels.alignment import align_face
from mol_pipeline.kernels.detection import main_face
from mol_pipeline.kernels.flow import BACKEND_VARIABLE, NUMBA, OPENCV, TVL1
from mol_pipeline.kernels.tracking import FaceTracker
from mol_pipeline.reading.frames import read_grey
from mol_pipeline.stages.video import align_video, load_kernels

CROPS = 5
CROP_PX = 128
FRAMES_PER_CLIP = 8


def write_frames(folder: Path, height: int, width: int, count: int) -> list[Path]:
    """A face of about a fifth of the image's height, drifting by up to four pixels."""
    portrait = load_portrait("astronaut")
    left, top = portrait.landmarks.min(axis=0)
    right, bottom = portrait.landmarks.max(axis=0)
    scale = 0.3 * height / (bottom - top)
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        shift = 4 * np.sin(index / 9), 3 * np.cos(index / 7)
        target = np.array([width / 2 + shift[0], height / 2 + shift[1]])
        matrix = np.array([[scale, 0, 0], [0, scale, 0]])
        matrix[:, 2] = target - scale * centre
        image = cv2.warpAffine(
            portrait.grey,
            matrix,
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        noisy = image + rng.normal(0, 1, image.shape)
        path = folder / f"{index:05d}.jpg"
        cv2.imwrite(str(path), np.clip(noisy, 0, 255).astype(np.uint8))
        paths.append(path)
    return paths


class Clock:
    """Seconds of the processor by stage: of one thread, whoever else uses the machine."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:
        """Run and add to the stage."""
        start = time.thread_time()
        result = work()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.thread_time() - start
        return result


def crop_flow(crops: list[Any], kernels: Any) -> Any:
    """TV-L1 between neighbouring crops."""
    flows = [kernels.flow(first, second) for first, second in itertools.pairwise(crops)]
    return np.stack(flows).astype(np.float16)


def straightforward(paths: list[Path], kernels: Any, flow_clips: int) -> tuple[Clock, Any, Any]:
    """Per clip: decode, detect, align each frame; flow on five crops of each pair."""
    clock, landmarks, flows = Clock(), {}, []
    rng = np.random.default_rng(0)
    clips = sampling.uniform_phases(len(paths), FRAMES_PER_CLIP)
    for number, clip in enumerate(clips):
        faces = []
        for position in clip:
            path = paths[position]
            clock("decode", lambda path=path: cv2.imread(str(path)))
            grey = clock("decode", lambda path=path: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
            box = clock("detect", lambda g=grey: main_face(kernels.detector.detect(g, 1), *g.shape))
            points = clock("landmarks", lambda g=grey, b=box: kernels.predictor.predict(g, b))
            landmarks[int(position)] = points
            faces.append(clock("align", lambda g=grey, p=points: align_face(g, p)).image)
        if number < flow_clips:
            for _ in range(CROPS):
                x, y = rng.integers(0, 144 - CROP_PX + 1, 2)
                crops = [face[y : y + CROP_PX, x : x + CROP_PX] for face in faces]
                flow = clock("flow", lambda c=crops: crop_flow(c, kernels))
                flows.append((number, int(x), int(y), flow))
    return clock, landmarks, flows


def ours(paths: list[Path], kernels: Any, flow_clips: int) -> tuple[Clock, Any, Any]:
    """The stages of the pipeline, each frame once."""
    clock = Clock()
    config = BuildConfig()

    def frames() -> Any:
        for position, path in enumerate(paths):
            yield position, clock("decode", lambda path=path: read_grey(path))

    def again(which: Any) -> Any:
        return [(position, read_grey(paths[position])) for position in which]

    whole = Clock()
    video = whole("all", lambda: align_video(frames(), kernels, config, again=again))
    clock.seconds["detect, landmarks, align"] = whole.seconds["all"] - clock.seconds["decode"]
    clips = sampling.uniform_phases(len(paths), FRAMES_PER_CLIP)
    flows = [
        clock("flow", lambda c=clip: video.clip_flow(kernels, c.tolist()))
        for clip in clips[:flow_clips]
    ]
    return clock, video, flows


def kernels_by(backend: str) -> Any:
    """Loaded models, and a solver of flow by name."""
    os.environ[BACKEND_VARIABLE] = backend
    flow = BuildConfig().flow
    return replace(load_kernels(flow, None), flow=TVL1(flow))


def compare(height: int, width: int, count: int, runs: int, flow_clips: int) -> dict[str, Any]:
    """Medians of both at one image size."""
    kernels, compiled = kernels_by(OPENCV), kernels_by(NUMBA)
    clips = count // FRAMES_PER_CLIP
    with tempfile.TemporaryDirectory() as folder:
        paths = write_frames(Path(folder), height, width, count)
        results: dict[str, list[dict[str, float]]] = {
            "straightforward": [],
            "ours": [],
            "ours, flow by OpenCV": [],
        }
        for _ in range(runs):
            slow, landmarks, slow_flows = straightforward(paths, kernels, flow_clips)
            fast, _, flows = ours(paths, compiled, flow_clips)
            former, _, former_flows = ours(paths, kernels, flow_clips)
            results["straightforward"].append(slow.seconds)
            results["ours"].append(fast.seconds)
            results["ours, flow by OpenCV"].append(former.seconds)
            for one, other in zip(flows, former_flows, strict=True):
                np.testing.assert_array_equal(one, other)
        tracker = FaceTracker(kernels.detector, kernels.predictor, DetectionConfig())
        held = [tracker.find(read_grey(path)).landmarks for path in paths]
    difference = np.mean(
        [np.linalg.norm(held[i] - landmarks[i], axis=-1).mean() for i in landmarks]
    )
    number, x, y, crop_flow = slow_flows[0]
    part = flows[number][:, :, y : y + CROP_PX, x : x + CROP_PX].astype(np.float32)
    flow_difference = float(np.abs(part - crop_flow.astype(np.float32)).mean())

    def per_clip(name: str, stage: str) -> float:
        values = [one.get(stage, 0.0) for one in results[name]]
        return statistics.median(values) / (flow_clips if stage == "flow" else clips)

    table = {name: {stage: per_clip(name, stage) for stage in results[name][0]} for name in results}
    but_flow = {
        name: sum(seconds for stage, seconds in row.items() if stage != "flow")
        for name, row in table.items()
    }
    total = {name: sum(row.values()) for name, row in table.items()}
    print(f"{height}x{width}, {count} frames, {clips} clips, medians of {runs}; seconds a clip")
    for name, row in table.items():
        stages = ", ".join(f"{stage} {seconds:.4f}" for stage, seconds in row.items())
        print(f"  {name:20} {stages}; all {total[name]:.3f} ({1 / total[name]:.2f} clips/s)")
    row = {
        "height": height,
        "width": width,
        "frames": count,
        "seconds_per_clip": table,
        "ratio_without_flow": but_flow["straightforward"] / but_flow["ours"],
        "ratio": total["straightforward"] / total["ours"],
        "ratio_with_flow_by_opencv": total["straightforward"] / total["ours, flow by OpenCV"],
        "mean_landmark_difference_px": float(difference),
        "mean_flow_difference_px": flow_difference,
    }
    print(
        f"  without flow {row['ratio_without_flow']:.1f} x, in all {row['ratio']:.1f} x (flow by "
        f"OpenCV: {row['ratio_with_flow_by_opencv']:.1f} x); landmarks "
        f"differ by {difference:.2f} px on average, flow by {flow_difference:.3f} px"
    )
    return row


def main() -> None:
    """Both sizes, unless one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", action="append", metavar="HEIGHTxWIDTH")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--flow-clips", type=int, default=1, help="clips whose flow is timed")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = []
    for size in options.size or ["650x960", "1088x2040"]:
        height, width = (int(number) for number in size.split("x"))
        rows.append(compare(height, width, options.frames, options.runs, options.flow_clips))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
