"""A small checkpoint, films and folders of frames for the tests of inference."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from mol_model.clips.source import ClipSource
from mol_model.config.mol import TINY
from mol_model.config.settings import RunConfig, TrainingConfig
from mol_model.inference.film import write_film
from mol_model.networks.interface import Estimates
from mol_model.protocols.folds import make_folds
from mol_model.runs.run import fit_to_data, load_data
from mol_model.training.fold import train_fold
from mol_pipeline.contract.shard_layout import ALIGNED_PX
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.databases.demo import write_demo
from mol_pipeline.databases.files import list_frames
from mol_pipeline.reading.frames import read_colour
from tests.model.shard_fixture import write_shards

FACES = Path(__file__).parents[3] / "shared" / "faces"
"""Photographs and films beside the project, where they are to be had."""


def train_checkpoint(
    directory: Path,
    frames: int = 8,
    mapping: str | None = None,
    action_units: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """A narrow network after a few steps; returns the path without ending."""
    config = RunConfig(
        model=TINY,
        training=TrainingConfig(steps=4, batch_size=4, learning_rate=1e-3, flow_pairs=1),
    )
    shards = write_shards(directory / "shards", frames=frames, action_units=action_units)
    data = load_data([shards], mapping, config)
    config = fit_to_data(config, data)
    fold = make_folds(data.samples, data.classes, config.protocol)[0]
    train_fold(ClipSource(data, torch.device("cpu")), fold, config, directory / "fold")
    return directory / "fold" / "checkpoint"


def demo_folders(directory: Path) -> list[Path]:
    """Folders of frames of one synthetic subject, the longest first."""
    write_demo(directory / "demo", subjects=1)
    root = directory / "demo"
    videos = sorted(Samm().index(root).videos, key=lambda video: -len(video.frames))
    return [root / video.folder for video in videos]


def pictures_of(folder: Path) -> list[np.ndarray]:
    """The frames of a folder in colour, in order."""
    return [read_colour(folder / name) for _, name in list_frames(folder)]


def write_pictures(path: Path, pictures: Sequence[np.ndarray]) -> Path:
    """Colour pictures as a film."""
    write_film(path, pictures, Fraction(25))
    return path


class Oracle:
    """Answers with what it was told, in the crop: the mapping is then all that is tested."""

    def __init__(self, window, flow=(0.0, 0.0), crop_px=128):
        self.crop_px, self.frames = crop_px, window.frames.shape[1]
        margin = (ALIGNED_PX - crop_px) // 2
        self.landmarks = torch.from_numpy(window.landmarks[:, 1:] - margin)
        self.flow, self.done = np.asarray(flow), 0

    def testing(self):
        return nullcontext()

    def estimate(self, views):
        frames = views["frames"]
        count, length, size, _ = frames.shape
        part = slice(self.done, self.done + count)
        self.done += count
        flow = torch.from_numpy(self.flow)[:, None, None].expand(count, length - 1, 2, size, size)
        return Estimates(torch.zeros(count, 3), flow, self.landmarks[part])
