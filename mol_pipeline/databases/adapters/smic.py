"""SMIC (Li et al. 2013), its three cameras, as its owners ship it.

    SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image072643.bmp
    SMIC_all_cropped/HS/...

There is no annotation table and no apex: subject and label are in the clip's name, and
every frame of a folder belongs to the clip. Convention: numbers are the camera's running
counter, of five to eight digits. The three cameras filmed the same people at once.
"""

import re
import statistics
from pathlib import Path

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, best_first, raw_before_cropped
from mol_pipeline.databases.index import DatabaseIndex

CLIP_NAME = re.compile(r"^s0*(\d+)_(ne|po|sur)_0*(\d+)$", re.IGNORECASE)
WORDS = {"ne": "negative", "po": "positive", "sur": "surprise"}
CAMERAS = ("hs", "vis", "nir")
TOO_LONG = 20
"""Frames of a clip at 25 a second: micro-expressions last half a second at most."""
TOO_SHORT = 14
"""Frames of a clip at 100 a second; in the middle they have 34."""


class Smic(Adapter):
    """Adapter of SMIC as one camera saw it.

    Args:
        camera: `hs` (100 fps), `vis` or `nir` (25 fps).
    """

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.name = f"smic-{camera}"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List SMIC's clips. There is no annotation to name.

        Raises:
            SourceError: If an annotation is named, or nothing is found.
        """
        if request.annotation is not None:
            raise SourceError(
                f"--annotation {request.annotation}: SMIC has none, its labels are in the "
                "clips' names; leave it out (SMIC-E has one: --dataset smic-e-hs)"
            )
        require_camera(request.root, self.name, self.camera)
        builder = IndexBuilder(
            self.name,
            request,
            rank=lambda parts: _rank(self.camera, parts),
        )
        found: dict[str, list[FrameFolder]] = {}
        for folder in builder.folders:
            if CLIP_NAME.match(folder.leaf):
                found.setdefault(clip_identity(folder.leaf)[1], []).append(folder)
        for clip, folders in found.items():
            subject, word, _ = clip.split("_")
            annotated = AnnotatedClip(
                subject=subject,
                clip=clip,
                raw_label=WORDS[word],
                where="",
                person=f"smic/{subject}",
                whole_clip=True,
            )
            builder.add(annotated, best_first(folders))
        index = builder.finish(None)
        return _of_one_rate(index, self.camera, camera_of_root(builder.root.absolute()))


def clip_identity(name: str) -> tuple[str, str]:
    """Subject and clip as they are on disk, from any spelling (`s01_ne_01` is `s1_ne_01`).

    Raises:
        ValueError: If the name is none of SMIC's.
    """
    match = CLIP_NAME.match(name.strip())
    if match is None:
        raise ValueError(f"{name!r} is no clip name of SMIC")
    subject = f"s{int(match.group(1))}"
    return subject, f"{subject}_{match.group(2).lower()}_{int(match.group(3)):02d}"


def camera_of_root(root: Path) -> str | None:
    """The camera that the root is named after, or the nearest folder above it in the release."""
    release: list[Path] = []
    for folder in (root, *root.parents):
        release.append(folder)
        if "smic" in folder.name.lower():
            break
    else:
        release = [root]
    named = (_words(folder.name.lower()) & set(CAMERAS) for folder in release)
    return next((cameras.pop() for cameras in named if len(cameras) == 1), None)


def require_camera(root: Path, dataset: str, camera: str) -> None:
    """Refuse a root inside another camera's folder.

    Raises:
        SourceError: With the name of the right database.
    """
    found = camera_of_root(root.absolute())
    if found not in {None, camera}:
        right = f"{dataset.removesuffix(camera)}{found}"
        raise SourceError(
            f"{root}: lies in the folder of another camera ({str(found).upper()}): "
            f"--dataset {right} reads it"
        )


def _of_one_rate(index: DatabaseIndex, camera: str, named: str | None) -> DatabaseIndex:
    """The index, if its clips are as long as micro-expressions are at the camera's frame rate.

    Where a folder is named after the camera, long clips are only warned of.

    Raises:
        SourceError: If they are far too long, and nothing says which camera they are of.
    """
    frames = statistics.median(len(video.frames) for video in index.videos)
    is_named = named is not None or all(
        _words(video.folder.lower()) & {camera} for video in index.videos
    )
    rate, others = (100, "SMIC's other cameras 25") if camera == "hs" else (25, "SMIC's HS 100")
    words = (
        f"half of the clips have {frames:g} frames or more, {frames / rate:.2g} s at the "
        f"{rate} frames a second of {camera.upper()}; {others}: is it the right --dataset?"
    )
    if camera != "hs" and frames > TOO_LONG:
        if not is_named:
            raise SourceError(f"{index.root}: {words}")
        return index.warned(words)
    if camera == "hs" and frames < TOO_SHORT and not is_named:
        return index.warned(words)
    return index


def of_another_camera(camera: str, part: str) -> bool:
    """Whether a folder is named after another camera than this one."""
    return bool(_words(part) & (set(CAMERAS) - {camera}))


def is_of_smic_e(part: str) -> bool:
    """Whether a folder is named after the long videos of SMIC-E."""
    return "long" in _words(part) or {"smic", "e"} <= _words(part)


def _words(part: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", part))


def _rank(camera: str, parts: tuple[str, ...]) -> int | None:
    """Raw before cropped; other cameras and long videos not at all."""
    if any(of_another_camera(camera, part) or is_of_smic_e(part) for part in parts):
        return None
    return raw_before_cropped(parts)
