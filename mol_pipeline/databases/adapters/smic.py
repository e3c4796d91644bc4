"""SMIC (Li et al. 2013), its three cameras, as its owners ship it.

    SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image072643.bmp
    SMIC_all_cropped/HS/...

There is no annotation table and no apex: subject and label are in the clip's name, and
every frame of a folder belongs to the clip. Convention: numbers are the camera's running
counter, of five to eight digits. The three cameras filmed the same people at once.
"""

import re

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, best_first, raw_before_cropped
from mol_pipeline.databases.index import DatabaseIndex

CLIP_NAME = re.compile(r"^s0*(\d+)_(ne|po|sur)_0*(\d+)$", re.IGNORECASE)
WORDS = {"ne": "negative", "po": "positive", "sur": "surprise"}
CAMERAS = ("hs", "vis", "nir")


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
        return builder.finish(None)


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
