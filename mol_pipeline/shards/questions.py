"""Questions and answers about clips, in the form of the MEGC challenges on visual questions.

One JSON object a line, as in the challenge's own files of CASME II and SAMM:

    {"id": "casme2_sub01_EP02_01f_1", "dataset": "casme2", "image_id": "sub01_EP02_01f",
     "subject": "sub01", "filename": "EP02_01f",
     "question": "What is the coarse expression class?", "answer": "positive"}

Asked are the coarse class, the fine class, the action units, on which side one is, whether one is
shown (once yes, once no), and all of it together. A question whose answer the table does not give
is not asked: nothing is guessed. Frames are not written: a line leads to those of the database.

Source:
    MEGC 2025, arXiv 2506.15298; MEGC 2026, arXiv 2603.08927.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from mol_pipeline.contract.action_units import CD6ME_UNITS, UNIT_NAMES, ActionUnits
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.manifest import Manifest, VideoRecord
from mol_pipeline.contract.names import file_name
from mol_pipeline.shards.export import new_directory

QUESTIONS_NAME = "megc-vqa.jsonl"

WORDS = {**UNIT_NAMES, 38: "nostril dilater", 39: "nostril compress", 43: "eye closure"}
"""The challenge's words for units, where they are not the manual's."""

COARSE_MAPPINGS = ("3", "release-3")
"""Mappings to negative, positive, surprise; the second also covers CASME II's sadness and fear."""

COARSE_WORDS = frozenset({"negative", "positive", "surprise", "other", "others"})
"""What databases without a fine class call their clips."""

FOLDER_PREFIX = {"casme": "sub", "casme2": "sub"}
"""What stands before the number in the owners' folder of a subject."""

T = TypeVar("T")


def write_questions(manifest: Manifest, out: Path) -> str:
    """Write `megc-vqa.jsonl`; returns what was written and what could not be asked, in words.

    Args:
        manifest: Of the shards.
        out: New or empty directory.

    Raises:
        ConfigError: If `out` is in use.
    """
    new_directory(out)
    names = _image_names(manifest.videos)
    has_fine = {video.raw_label.strip().lower() for video in manifest.videos} - COARSE_WORDS
    readings = [video.known_units or ActionUnits() for video in manifest.videos]
    shown = sorted({one.unit for reading in readings for one in reading.coded} | set(CD6ME_UNITS))
    lines, asked = [], Counter[str]()
    for video, name in zip(manifest.videos, names, strict=True):
        pairs = list(_questions(video, shown, has_fine=bool(has_fine)))
        asked.update({kind for kind, _, _ in pairs})
        for number, (_, question, answer) in enumerate(pairs, start=1):
            line = {
                "id": f"{video.database}_{name}_{number}",
                "dataset": video.database,
                "image_id": name,
                "subject": _subject(video),
                "filename": video.clip,
                "question": question,
                "answer": answer,
            }
            mark = {"synthetic": True} if manifest.synthetic else {}
            lines.append(json.dumps(line | mark, ensure_ascii=False))
    path = out / QUESTIONS_NAME
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    total = len(manifest.videos)
    known = ", ".join(f"{kind} of {asked[kind]}" for kind in ("coarse", "fine", "action units"))
    return f"{path}: {len(lines)} questions on {total} videos; answers are known: {known}"


def _questions(
    video: VideoRecord, shown: Sequence[int], *, has_fine: bool
) -> Iterator[tuple[str, str, str]]:
    """(kind, question, answer) of a video, in the challenge's order."""
    coarse = next((video.labels[one] for one in COARSE_MAPPINGS if one in video.labels), "")
    fine = _fine(video) if has_fine else ""
    if coarse:
        yield "coarse", "What is the coarse expression class?", coarse
    if fine:
        yield "fine", "What is the fine-grained expression class?", fine
    reading = video.known_units or ActionUnits()
    named = dict.fromkeys(one.unit for one in reading.coded)
    moving = [unit for unit in named if reading.value(unit) == 1]
    is_whole = reading.complete and all(
        reading.value(one.unit) is not None for one in reading.coded
    )
    units = ", ".join(map(_word, moving))
    several = len(moving) > 1
    if moving and is_whole:
        asked = "What are the action units?" if several else "What is the action unit?"
        yield "action units", asked, units
    for unit in moving:
        if (side := reading.side(unit)) in {"left", "right"}:
            asked = f"Is the action unit {_word(unit)} located on the left or right face?"
            yield "side", asked, side
    absent = [unit for unit in shown if reading.value(unit) == 0]
    for answer, choice in (("yes", moving), ("no", absent)):
        if choice and moving:
            unit = _drawn(choice, f"{video.key} {answer}")
            yield "shown", f"Is the action unit {_word(unit)} shown on the face?", answer
    if moving and is_whole and fine and coarse:
        what, it, verb = ("units", "them", "are") if several else ("unit", "it", "is")
        yield (
            "together",
            f"What {verb} the action {what} present, and based on {it}, what is the fine-grained "
            "expression and the coarse expression class?",
            f"The action {what} present {verb}: {units}. Therefore, the fine-grained expression "
            f"class is {fine}, and the coarse expression class is {coarse}.",
        )


def _word(unit: int) -> str:
    return WORDS.get(unit, f"action unit {unit}")


def _fine(video: VideoRecord) -> str:
    """The owners' word; empty where one of several words is no fine class."""
    word = video.raw_label.strip().lower()
    return "" if {"negative", "positive"} & set(re.split(r"[+/,;&\s]+", word)) else word


def _drawn(choice: Sequence[T], of: str) -> T:
    """One of several, the same whenever it is asked for."""
    number = int.from_bytes(hashlib.sha256(of.encode()).digest()[:8], "big")
    return choice[number % len(choice)]


def _subject(video: VideoRecord) -> str:
    """As the owners' folder is called."""
    return f"{FOLDER_PREFIX.get(video.database, '')}{video.subject}"


def _image_names(videos: Sequence[VideoRecord]) -> list[str]:
    """The challenge's name of each video: of subject and clip, unless the clip has the subject.

    Names that would be equal are made of the identity instead, see `contract.names`.
    """
    names = [
        video.clip
        if video.clip.startswith(f"{_subject(video)}_")
        else f"{_subject(video)}_{video.clip}"
        for video in videos
    ]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else file_name(video.database, video.subject, video.clip)
        for name, video in zip(names, videos, strict=True)
    ]
