"""The unseen test sets of the MEGC challenges: folders of frames whose truth the owners keep.

    SAMM_Test/1/00001.jpg       set / video / frame; any names, any depth
    CAS_Test/3/color/0012.jpg

Convention: every folder with frames is a video, and a clip as a whole. Who is seen is not told:
each video counts as a person of its own, named by its folder. Nothing trains on these or is scored
on them; see `contract.labels.WITHOUT_TRUTH`.
"""

import re
from collections import Counter, defaultdict

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.files import FrameFolder, raw_before_cropped, walk
from mol_pipeline.databases.index import DatabaseIndex

CROPPED = re.compile(r"[ _\-]*crop(?:ped)?[ _\-]*", re.IGNORECASE)
GENERIC = frozenset({"color", "colour", "rgb", "frame", "frames", "img", "images", "image"})
"""Names that say what a folder holds, not which video it is."""
FILMS = (".mp4", ".avi", ".mov", ".mkv", ".wmv")


class MegcUnseen(Adapter):
    """Adapter of test sets without truth."""

    name = "megc-unseen"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List every folder with frames.

        Raises:
            SourceError: If a table is named: none belongs to these sets.
        """
        if request.annotation is not None:
            raise SourceError(
                f"--annotation {request.annotation}: the unseen sets have no table; for videos "
                "with one choose --dataset custom, or the database that they are of"
            )
        builder = IndexBuilder(self.name, request, rank=_rank)
        videos: dict[tuple[str, ...], list[FrameFolder]] = defaultdict(list)
        for folder in builder.folders:
            videos[_identity(folder)].append(folder)
        leaves = Counter(parts[-1].lower() for parts in videos if parts)
        for parts, folders in videos.items():
            alone = parts and leaves[parts[-1].lower()] == 1
            name = (parts[-1] if alone else "-".join(parts)) or builder.root.name
            clip = AnnotatedClip(
                subject=name,
                clip=name,
                raw_label="",
                where=folders[0].relative,
                annotations={"recording": "/".join(parts)} if parts else {},
                whole_clip=True,
            )
            builder.add(clip, folders)
        _name_films(builder)
        return builder.finish(None)


def _identity(folder: FrameFolder) -> tuple[str, ...]:
    """Which video a folder holds: its path without the words for cropped copies and for frames."""
    parts = [CROPPED.sub("", part) for part in folder.parts]
    while len(parts) > 1 and parts[-1].lower() in GENERIC:
        parts.pop()
    doubled = zip(parts, ["", *parts], strict=False)
    return tuple(part for part, above in doubled if part and part.lower() != above.lower())


def _name_films(builder: IndexBuilder) -> None:
    films = [
        (folder / name).relative_to(builder.root).as_posix()
        for folder, _, files in walk(builder.root)
        for name in files
        if name.lower().endswith(FILMS)
    ]
    if films:
        builder.warn(
            f"{len(films)} film(s) are not read here, e.g. {films[0]}: 'moltrain predict' takes "
            "films, '--dataset custom' lists them"
        )


def _rank(parts: tuple[str, ...]) -> int | None:
    """Raw before cropped; depth maps not at all."""
    return None if "depth" in parts else raw_before_cropped(parts)
