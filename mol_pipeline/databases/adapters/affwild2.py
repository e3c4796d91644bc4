"""Aff-Wild2 (Kollias & Zafeiriou 2019), track EXPR, as its owners ship it.

    cropped_aligned/{video}/00001.jpg           also cropped_aligned_new_50_vids, batch1, ...
    .../EXPR_Recognition_Challenge/{Train_Set,Validation_Set}/{video}.txt

A text file names the classes in its first line, then gives one class per frame, -1 for none.
Convention: line i after the header is frame i, from 1. Not every frame has a crop, and a video
may have a crop too many: frames are matched by number. A second person in a video has files
of her own (`_left`, `_right`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.contract.documents import read_document, shortened
from mol_pipeline.contract.errors import SourceError
from mol_pipeline.contract.gaps import gaps_between
from mol_pipeline.contract.manifest import KeyFrames
from mol_pipeline.databases.adapter import Adapter, IndexRequest
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder
from mol_pipeline.databases.candidates import best_folder
from mol_pipeline.databases.files import FrameFolder, is_junk, walk
from mol_pipeline.databases.fitting import Misfit, require_most
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo

PARTITIONS = {"train_set": "train", "training_set": "train", "validation_set": "validation"}
CLASSES = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
IGNORED = -1
SECOND_PERSON = re.compile(r"_(left|right)$", re.IGNORECASE)


class AffWild2(Adapter):
    """Adapter of Aff-Wild2's expressions; macro-expressions in the wild, for pre-training."""

    name = "affwild2"

    def _read(self, request: IndexRequest) -> DatabaseIndex:
        """List the annotated videos; the annotation is a folder, numbers are those of its lines."""
        builder = IndexBuilder(
            self.name,
            request,
            rank=lambda _: 0,
        )
        place = request.annotation or request.root
        texts = _annotations(place)
        if not texts:
            raise SourceError(
                f"{place}: no EXPR annotation (Train_Set/*.txt, Validation_Set/*.txt) "
                "in it or below; put the owners' folder there or name it with --annotation"
            )
        for path, partition in texts:
            self._take(builder, path, partition)
        return builder.finish(None)

    def _take(self, builder: IndexBuilder, path: Path, partition: str) -> None:
        name = path.stem
        clip = AnnotatedClip(
            subject=name,
            clip=name,
            raw_label="",
            where=f"{partition}/{path.name}",
            annotations={
                "partition": partition,
                "recording": SECOND_PERSON.sub("", name),
                "expression": "macro",
            },
            person=f"{self.name}/{name}",
            whole_clip=True,
        )
        try:
            labels = read_labels(path)
        except ValueError as error:
            builder.reject(clip, "garbled-annotation", str(error))
            return
        folders = builder.folders.named(name)
        if not folders:
            builder.reject(clip, "no-folder", f"no folder {name} with frames below the root")
            return
        try:
            labelled = _labelled(clip, labels, folders)
            video = labelled.video
            require_most(
                video.folder,
                len(video.frames),
                video.missing,
                builder.most_missing,
                "its owners found no face in these labelled frames, or the archive is not whole;",
            )
        except Misfit as misfit:
            builder.reject(clip, misfit.code, str(misfit))
            return
        for note in labelled.notes:
            builder.note(f"{name}: {note}")
        builder.add_video(clip, video)


@dataclass(frozen=True)
class _Labelled:
    """A video with a label for each frame, and what is odd about it."""

    video: SourceVideo
    notes: tuple[str, ...]


def _labelled(
    clip: AnnotatedClip, labels: Sequence[str], folders: Sequence[FrameFolder]
) -> _Labelled:
    """The crops of a video that have a label.

    Args:
        clip: The video.
        labels: Of each frame from 1, empty where it is to be ignored.
        folders: That may hold its crops.

    Raises:
        Misfit: If nobody can say which folder's crops they are, or none has a label.
    """
    best, why = best_folder(folders, KeyFrames(), "named", anew=False)
    present = [number for number, _ in best.present]
    words = {number: word for number, word in enumerate(labels, start=1) if word}
    chosen = tuple((number, name) for number, name in best.present if number in words)
    if not chosen:
        raise Misfit("no-frames", f"{best.folder.relative}: no frame has a label other than -1")
    surplus = sum(number > len(labels) for number in present)
    beyond = f"{surplus} frame(s) beyond the {len(labels)} labels; left out" if surplus else ""
    # Frames that are to be ignored are no gaps.
    ignored = (number for number, word in enumerate(labels, start=1) if not word)
    video = SourceVideo(
        database=AffWild2.name,
        subject=clip.subject,
        person=clip.person,
        clip=clip.clip,
        raw_label=clip.raw_label,
        key_frames=KeyFrames(),
        folder=best.folder.relative,
        frames=chosen,
        missing=gaps_between({*present, *ignored}, 1, len(labels)),
        annotations=clip.annotations,
        frame_labels=tuple(words[number] for number, _ in chosen),
        remarks=best.remarks,
    )
    return _Labelled(video, tuple(note for note in (why, beyond) if note))


def read_labels(path: Path) -> list[str]:
    """Class of each frame in lower case, empty where it is to be ignored.

    Raises:
        ValueError: If a line is no class number.
    """
    lines = read_document(path).decode("utf-8-sig").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    classes: Sequence[str] = CLASSES
    if lines and not lines[0].strip().lstrip("-").isdigit():
        classes = [name.strip().lower() for name in lines.pop(0).split(",")]
    labels = []
    for number, line in enumerate(lines, start=1):
        try:
            label = int(line)
        except ValueError:
            raise ValueError(
                f"frame {number}: {shortened(line, 40)!r} is no class number"
            ) from None
        if label != IGNORED and not 0 <= label < len(classes):
            raise ValueError(f"frame {number}: class {label}, there are {len(classes)}")
        labels.append("" if label == IGNORED else classes[label])
    return labels


def _annotations(root: Path) -> list[tuple[Path, str]]:
    """(text file, partition) of every annotated video; other tracks' folders are passed over."""
    found = []
    for folder, _, files in walk(root):
        partition = PARTITIONS.get(folder.name.lower())
        tracks = [part.lower() for part in folder.parts]
        other = any(part.startswith(("va_", "au_")) for part in tracks)
        if partition is None or other:
            continue
        found += [
            (folder / name, partition)
            for name in files
            if name.lower().endswith(".txt") and not is_junk(name)
        ]
    return found
