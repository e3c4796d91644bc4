"""Clips for somebody's own training loop: a `torch.utils.data.Dataset`, or NumPy arrays."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from mol_model.clips.shards import ShardSet
from mol_model.clips.views import ARRAYS_OF_VIEW, AS_STORED, arrays_of, centre_inputs
from mol_model.networks.interface import ViewName
from mol_model.protocols.folds import Sample
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.manifest import VideoRecord
from mol_pipeline.contract.shard_layout import ALIGNED_PX


class ClipDataset(Dataset[dict[str, Any]]):
    """The clips of prepared databases under one label mapping.

    An item is a dictionary: each view as a tensor without the batch (`networks.interface.ViewName`
    has the shapes), `label` as a number (a tensor of units under action units), `video` and
    `person`. Grey values are as stored, 0 to 255. With `key-` views alone there is an item a video.

    Args:
        shards: Directories that `molprep build` wrote.
        views: What is wanted of each clip.
        mapping: Name of the label mapping; None for the first that the databases share.
        crop_px: Side of the centre crop; all of the aligned frame if None.
        videos: Numbers of the videos whose clips these are; all if None.

    Raises:
        ManifestError: If shards are missing, damaged or of another schema.
        ConfigError: If there is no such view or mapping, or no video.
    """

    def __init__(
        self,
        shards: Sequence[Path | str],
        views: Sequence[ViewName] = ("frames",),
        *,
        mapping: str | None = None,
        crop_px: int | None = None,
        videos: Iterable[int] | None = None,
    ) -> None:
        unknown = [name for name in views if name not in ARRAYS_OF_VIEW]
        if unknown or not views:
            raise ConfigError(
                f"views {', '.join(unknown) or 'none'}: there are {', '.join(ARRAYS_OF_VIEW)}"
            )
        self.data = ShardSet(
            [Path(one).resolve() for one in shards], mapping=mapping, arrays=arrays_of(views)
        )
        self.views = tuple(views)
        self.crop_px = ALIGNED_PX if crop_px is None else crop_px
        every = range(len(self.data.videos))
        self._clips = self.data.clips_of(every if videos is None else videos)

    def of(self, videos: Iterable[int]) -> "ClipDataset":
        """The clips of some videos: a fold's `train` or `test`."""
        part = object.__new__(type(self))
        part.__dict__ = {**self.__dict__, "_clips": self.data.clips_of(videos)}
        return part

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""
        return self.data.classes

    @property
    def videos(self) -> Sequence[VideoRecord]:
        """What the manifests say of each video."""
        return self.data.videos

    @property
    def samples(self) -> list[Sample]:
        """Person and label of each video, as `make_folds` takes them."""
        return self.data.samples

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, number: int) -> dict[str, Any]:
        clip = self._clips[number]
        # Statistics are of training subjects, whom a loop of yours chooses.
        inputs = centre_inputs(self.data.read([clip]), AS_STORED, self.crop_px)
        video = self.data.video_of_clip[clip]
        sample = self.data.samples[video]
        label = torch.tensor(sample.units) if sample.units else sample.label
        return {
            **{name: inputs[name][0] for name in self.views},
            "label": label,
            "video": self.data.videos[video].key,
            "person": sample.person,
        }

    def numpy(self) -> Iterator[dict[str, Any]]:
        """The items with NumPy arrays in place of tensors, one after the other."""
        for number in range(len(self)):
            item = self[number]
            yield {
                name: np.asarray(value) if isinstance(value, torch.Tensor) else value
                for name, value in item.items()
            }
