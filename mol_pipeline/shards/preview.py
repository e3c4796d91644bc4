"""Contact sheets: aligned frames, landmarks and flow of stored clips, as PNG and HTML."""

import base64
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import write_atomically, write_figure
from mol_pipeline.contract.flow_colour import colour_wheel, flow_to_rgb
from mol_pipeline.contract.manifest import Manifest, VideoRecord
from mol_pipeline.contract.names import file_name
from mol_pipeline.contract.shard_layout import ALIGNED_PX, FaceStatus
from mol_pipeline.kernels.geometry import apply_transform, compose, invert_transform
from mol_pipeline.shards.files import open_shard

INNER = (slice(ALIGNED_PX // 6, -ALIGNED_PX // 6), slice(ALIGNED_PX // 6, -ALIGNED_PX // 6))
"""Of an aligned frame: the face without its rim."""
PEAK_PERCENTILE = 99.0
"""The colour scale of a sheet ends at this percentile of its flow magnitudes."""


@dataclass(frozen=True)
class StoredClip:
    """One clip read back from a shard."""

    video: VideoRecord
    row: int
    frames: NDArray[np.uint8]
    flow: NDArray[np.float16]
    landmarks: NDArray[np.float32]
    source_frames: NDArray[np.int32]
    transforms: NDArray[np.float64]
    face_status: NDArray[np.uint8]

    @property
    def flow_with_head(self) -> NDArray[np.float32]:
        """The same flow with the motion that alignment took out: all frames by the first transform.

        Exact for the geometry; `[t - 1, 2, 144, 144]`.
        """
        axis = np.arange(ALIGNED_PX, dtype=np.float64)
        grid = np.stack(np.meshgrid(axis, axis), axis=-1)
        back = [compose(self.transforms[0], invert_transform(one)) for one in self.transforms]
        moved = []
        for flow, (before, after) in zip(self.flow, itertools.pairwise(back), strict=True):
            there = apply_transform(after, grid + np.moveaxis(flow.astype(np.float64), 0, -1))
            moved.append(np.moveaxis(there - apply_transform(before, grid), -1, 0))
        return np.stack(moved).astype(np.float32)


def read_clip(directory: Path, video: VideoRecord, phase: int = 0) -> StoredClip:
    """Read one clip of a video; `phase` counts from 0."""
    row = video.first_row + min(phase, video.rows - 1)
    with open_shard(directory / video.shard) as file:
        return StoredClip(
            video=video,
            row=row,
            frames=file["frames"][row],
            flow=file["flow"][row],
            landmarks=file["landmarks"][row],
            source_frames=file["source_frames"][row],
            transforms=file["transforms"][row],
            face_status=file["face_status"][row],
        )


def draw_contact_sheet(clip: StoredClip, path: Path, *, synthetic: bool) -> None:
    """Draw one clip: frames with landmarks, their flow, and the flow with the head's motion."""
    count = len(clip.frames)
    with_head = clip.flow_with_head
    magnitude = np.hypot(*np.moveaxis(clip.flow.astype(np.float32), 1, 0))
    peak = max(float(np.percentile(magnitude, PEAK_PERCENTILE)), 0.1)
    figure = Figure(figsize=(1.6 * count, 5.9), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, count, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i in range(count):
        axes[0, i].imshow(clip.frames[i], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes[0, i].scatter(*clip.landmarks[i].T, s=2, c="#00e5ff", linewidths=0)
        axes[0, i].set_xlim(-0.5, ALIGNED_PX - 0.5)
        axes[0, i].set_ylim(ALIGNED_PX - 0.5, -0.5)
        is_marked = clip.face_status[i] == FaceStatus.UNREGISTERED
        words = f"frame {clip.source_frames[i]}" + (", not registered" if is_marked else "")
        axes[0, i].set_title(words, fontsize=8, color="#b00020" if is_marked else "black")
    for i in range(count - 1):
        axes[1, i].imshow(flow_to_rgb(clip.flow[i], peak), interpolation="nearest")
        axes[1, i].set_title(f"flow {i} → {i + 1}", fontsize=8)
        axes[2, i].imshow(flow_to_rgb(with_head[i], peak), interpolation="nearest")
        mean = float(np.hypot(*with_head[i])[INNER].mean())
        axes[2, i].set_title(f"with the head: {mean:.2f} px", fontsize=8)
    axes[1, -1].imshow(colour_wheel())
    axes[1, -1].set_title(f"rim = {peak:.2f} px", fontsize=8)
    video = clip.video
    title = f"{video.database}  {video.subject} / {video.clip}  {video.raw_label}  row {clip.row}"
    figure.suptitle(("SYNTHETIC  " if synthetic else "") + title, fontsize=10)
    write_figure(figure, path)


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1300px; color: #222 }
 .synthetic { background: #fff3cd; border: 1px solid #e0c060; padding: .6rem 1rem }
 img { max-width: 100%; border: 1px solid #ddd; margin: .4rem 0 1.4rem }
 table { border-collapse: collapse } td, th { padding: .15rem .8rem; text-align: left }
</style>
<h1>{{ title }}</h1>
{% if manifest.synthetic %}<p class="synthetic"><b>Synthetic data.</b> These faces are photographs
moved by a program. No number made from them says anything about a real database.</p>{% endif %}
<table>
<tr><th>videos<td>{{ manifest.videos|length }}<tr><th>clips<td>{{ manifest.clips }}
<tr><th>frames a clip<td>{{ manifest.frames_per_clip }}
<tr><th>rejected<td>{{ manifest.rejected|length }}
{% if alignment %}<tr><th>alignment<td>{{ alignment }}
{% endif %}<tr><th>settings<td><code>{{ manifest.config_hash[:16] }}</code>
</table>
<p>Above: aligned frames with the 68 landmarks. Below: TV-L1 flow to the next frame; hue is the
direction as on the wheel (right is red), saturation the magnitude, full at the rim's value. Last:
the same with the motion that the alignment took out, and its mean over the face.</p>
{% for name, image in sheets %}<h3>{{ name }}</h3>
<img alt="contact sheet of {{ name }}" src="data:image/png;base64,{{ image }}">
{% endfor %}</html>
"""


def write_preview(
    directory: Path, manifest: Manifest, videos: Iterable[VideoRecord], out: Path
) -> Path:
    """Draw a sheet per video and one page that shows them all without a network.

    Returns:
        Path of the page.

    Raises:
        ManifestError: If a shard cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheets = []
    for video in videos:
        name = f"{video.database}-{video.subject}-{video.clip}"
        path = out / f"{file_name(video.database, video.subject, video.clip)}.png"
        try:
            clip = read_clip(directory, video)
        except (OSError, KeyError, IndexError) as error:
            raise ManifestError(
                f"{directory / video.shard}: row {video.first_row} cannot be read ({error}); "
                f"run 'molprep verify {directory}'"
            ) from error
        draw_contact_sheet(clip, path, synthetic=manifest.synthetic)
        sheets.append((name, base64.b64encode(path.read_bytes()).decode()))
    page = jinja2.Environment(autoescape=True).from_string(PAGE)
    target = out / "index.html"
    title = f"Contact sheets: {manifest.database}"
    alignment = manifest.alignment_words
    text = page.render(title=title, manifest=manifest, sheets=sheets, alignment=alignment)
    write_atomically(target, text.encode())
    return target
