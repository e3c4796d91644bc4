"""Whose folders and tables a demo database imitates: one `Layout` per database.

Rows are invented; names, columns, numbering and oddities are those of the real releases.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.databases.demo import tables, warps
from mol_pipeline.databases.demo.tables import FilmedClip

Movements = tuple[warps.Displacements, ...]


@dataclass(frozen=True)
class Scene:
    """What a person does in one clip."""

    emotion: str
    """The owners' word."""
    action_units: str
    movements: Movements
    """One is drawn by chance."""
    kind: str = "micro"


@dataclass(frozen=True)
class Layout:
    """How one database lies on disk."""

    plan: tuple[Scene, ...]
    """Clips of every person."""
    subject: Callable[[int], str]
    """Name of a person, from 0."""
    clip: Callable[[int, int, Scene], str]
    """Name of a clip: person, place in the plan, scene."""
    folder: Callable[[FilmedClip], str]
    file: Callable[[FilmedClip, int], str]
    """File name of a frame."""
    write_tables: Callable[[Path, Sequence[FilmedClip]], Path | None]
    """Writes the annotation; returns the table to name first."""
    first_numbers: tuple[int, ...]
    """Where the numbering of a clip may begin."""
    size: tuple[int, int]
    """Height and width of a frame."""
    scale: float = 1.0
    """Of the face, against SAMM's."""
    colour: bool = True
    stride: int = 0
    """Frames from the beginning of one clip to that of the next, in long videos."""
    margin: int = 0
    """Frames on disk before the onset and after the offset."""
    gap: bool = True
    """Whether the last clip of each person lacks a frame."""
    video: bool = False
    """Clips are video files instead of folders."""


ANGER = Scene("Anger", "4+7", (warps.ANGER,))
HAPPINESS = Scene("Happiness", "6+12", (warps.HAPPINESS,))
SURPRISE = Scene("Surprise", "1+2+5", (warps.SURPRISE,))
CONTEMPT = Scene("Contempt", "", (warps.CONTEMPT_LEFT, warps.CONTEMPT_RIGHT))
OTHER = Scene("Other", "17+24", (warps.OTHER,))


def _scene(scene: Scene, word: str, kind: str = "micro") -> Scene:
    return Scene(word, scene.action_units, scene.movements, kind)


SAMM = Layout(
    plan=(
        ANGER,
        HAPPINESS,
        SURPRISE,
        CONTEMPT,
        OTHER,
        Scene("Anger", "4", (warps.ANGER,)),
        Scene("Happiness", "12 ", (warps.HAPPINESS,)),  # a blank at the end, as in the real table
        Scene("Surprise", "1+2", (warps.SURPRISE,)),
    ),
    subject=lambda person: f"{person + 6:03d}",
    clip=lambda person, place, scene: f"{person + 6:03d}_{place % 7 + 1}_{place + 1}",
    folder=lambda clip: f"SAMM/{clip.subject}/{clip.clip}",
    file=lambda clip, number: f"{clip.subject}_{number:05d}.jpg",
    write_tables=tables.write_samm,
    first_numbers=(20, 345, 1203, 6789, 9990, 12000),
    size=(650, 960),
    colour=False,
    gap=False,
)

_FOUR = (SURPRISE, HAPPINESS, ANGER, OTHER)
_LOWER = tuple(
    _scene(scene, word)
    for scene, word in zip(_FOUR, ("surprise", "happiness", "disgust", "others"), strict=True)
)
_VALENCE = (
    _scene(SURPRISE, "surprise"),
    _scene(HAPPINESS, "positive"),
    _scene(ANGER, "negative"),
)
_SMIC_CODES = {"surprise": "sur", "positive": "po", "negative": "ne"}


def _smic_clip(person: int, place: int, scene: Scene) -> str:
    return f"s{person + 1}_{_SMIC_CODES[scene.emotion]}_{place + 1:02d}"


def _smic(camera: str) -> Layout:
    return Layout(
        plan=_VALENCE,
        subject=lambda person: f"s{person + 1}",
        clip=_smic_clip,
        folder=lambda clip: (
            f"SMIC_all_raw/{camera}/{clip.subject}/micro/{clip.emotion}/{clip.clip}"
        ),
        file=lambda clip, number: f"image{number:06d}.bmp",
        write_tables=tables.write_nothing,
        first_numbers=(72643, 99990, 427607),
        size=(480, 640),
    )


def _smic_e(camera: str) -> Layout:
    return Layout(
        plan=_VALENCE,
        subject=lambda person: f"s{person + 1}",
        clip=_smic_clip,
        folder=lambda clip: (
            f"SMIC-E_raw image/{camera}_long/SMIC-{camera}-E/s{clip.person + 1:02d}/{clip.clip}"
        ),
        file=lambda clip, number: f"image{number}.jpg",
        write_tables=tables.smic_e_writer(camera),
        first_numbers=(72643, 99990, 427607),
        size=(480, 640),
        margin=3,
    )


def _numbered(prefix: str, *, pad: int = 0, extension: str = "jpg") -> Callable[..., str]:
    return lambda clip, number: f"{prefix}{number:0{pad}d}.{extension}"


def _long_samm(clip: FilmedClip) -> str:
    return "_".join(clip.clip.split("_")[:2])


LAYOUTS: dict[str, Layout] = {
    "samm": SAMM,
    "casme2": Layout(
        plan=(*_LOWER, _scene(OTHER, "repression")),
        subject=lambda person: f"{person + 1:02d}",
        clip=lambda person, place, scene: f"EP{place + 1:02d}_{person + 1:02d}f",
        folder=lambda clip: (
            f"CASME2_RAW_selected/CASME2_RAW_selected/sub{clip.subject}/{clip.clip}"
        ),
        file=_numbered("img"),
        write_tables=tables.write_casme2,
        first_numbers=(1, 46, 93, 990),
        size=(480, 640),
    ),
    "smic-hs": _smic("HS"),
    "smic-vis": _smic("VIS"),
    "smic-nir": _smic("NIR"),
    "smic-e-hs": _smic_e("HS"),
    "smic-e-vis": _smic_e("VIS"),
    "smic-e-nir": _smic_e("NIR"),
    "affwild2": Layout(
        plan=_VALENCE,
        subject=lambda person: f"{person + 1}-24-640x360",
        clip=lambda person, place, scene: (
            f"{place + 1}-{person + 1}-640x360" + ("_left" if place == 1 else "")
        ),
        folder=lambda clip: (
            f"{('cropped_aligned', 'cropped_aligned_new_50_vids')[clip.place % 2]}/{clip.clip}"
        ),
        file=_numbered("", pad=5),
        write_tables=tables.write_affwild2,
        first_numbers=(1,),
        size=(112, 112),
        scale=0.45,
    ),
    "casme": Layout(
        plan=tuple(
            _scene(scene, word)
            for scene, word in zip(
                _FOUR, ("surprise", "repression", "disgust", "tense"), strict=True
            )
        ),
        subject=lambda person: f"{person + 1:02d}",
        clip=lambda person, place, scene: f"EP{place + 1:02d}_{person + 5}",
        folder=lambda clip: f"CASME_raw_selected/sub{clip.subject}/{clip.clip}",
        file=lambda clip, number: f"{clip.clip}-{number:0{3 if clip.place % 2 else 0}d}.jpg",
        write_tables=tables.write_casme,
        first_numbers=(8, 46, 95),
        size=(480, 640),
    ),
    "casme-sq": Layout(
        plan=(
            *(_scene(scene, scene.emotion, "micro") for scene in _VALENCE),
            _scene(HAPPINESS, "positive", "macro"),
        ),
        subject=lambda person: f"s{person + 15}",
        clip=lambda person, place, scene: f"{('anger1', 'disgust1')[place % 2]}_{place + 1}",
        folder=lambda clip: (
            f"CAS(ME)^2/rawpic/{clip.subject}/{clip.subject[1:]}_"
            f"{('0401girlcrashing', '0101disgustingteeth')[clip.place % 2]}"
        ),
        file=_numbered("img", pad=3),
        write_tables=tables.write_casme_sq,
        first_numbers=(1, 690),  # one of them passes from three digits to four
        size=(480, 640),
        stride=300,
        gap=False,
    ),
    "casme3": Layout(
        plan=tuple(
            _scene(scene, word)
            for scene, word in zip(_FOUR, ("surprise", "happy", "anger", "Others"), strict=True)
        ),
        subject=lambda person: f"spNO.{person + 1}",
        clip=lambda person, place, scene: "abcJ"[place % 4],
        folder=lambda clip: (
            f"Part_A_ME_clip/Part_A_ME_clip/frame/spNo.{clip.person + 1}_{clip.clip}_{clip.onset}"
        ),
        file=_numbered(""),
        write_tables=tables.write_casme3,
        first_numbers=(9, 166, 1012),
        size=(480, 640),
    ),
    "casme3-c": Layout(
        plan=(*_VALENCE[:2], _scene(OTHER, "others")),
        subject=lambda person: f"{person + 1:02d}",
        clip=lambda person, place, scene: f"{place + 1}",
        folder=lambda clip: f"part_C/part_C/{clip.subject}/a/color",
        file=_numbered(""),
        write_tables=tables.write_casme3_c,
        first_numbers=(9, 166),
        size=(480, 640),
        stride=100,
        gap=False,
    ),
    "dfme": Layout(
        plan=tuple(_scene(scene, scene.emotion) for scene in (SURPRISE, HAPPINESS, ANGER)),
        subject=lambda person: f"sub{person + 1:04d}",
        clip=lambda person, place, scene: f"sub{person + 1:04d}_{place + 1:02d}",
        folder=lambda clip: (
            f"{(2 * (tables.DFME_FOLDERS[tables.dfme_part(clip.person)] + '/'))}{clip.clip}"
        ),
        file=_numbered("", pad=5, extension="png"),
        write_tables=tables.write_dfme,
        first_numbers=(12, 95, 1004),
        size=(480, 640),
    ),
    "megc-unseen": Layout(
        plan=(_scene(SURPRISE, ""), _scene(HAPPINESS, "")),
        subject=lambda person: f"{person + 1}",
        clip=lambda person, place, scene: f"{2 * person + place + 1}",
        folder=lambda clip: f"{('SAMM_Test', 'CAS_Test')[clip.place % 2]}/{clip.clip}",
        file=_numbered("", pad=4),
        write_tables=tables.write_nothing,
        first_numbers=(1,),
        size=(480, 640),
    ),
    "mmew": Layout(
        plan=_LOWER,
        subject=lambda person: f"S{person + 1:02d}",
        clip=lambda person, place, scene: (
            f"S{person + 1:02d}-{tables.MMEW_CODES[scene.emotion]}-{place + 1:03d}"
        ),
        folder=lambda clip: (
            "MMEW_Final/Micro_Expression/"
            f"{'repression' if clip.emotion == 'others' else clip.emotion}/{clip.clip}"
        ),
        file=_numbered(""),
        write_tables=tables.write_mmew,
        first_numbers=(1,),
        size=(231, 231),
        scale=0.62,
    ),
    "4dme": Layout(
        plan=(
            *(_scene(s, s.emotion.capitalize()) for s in _VALENCE),
            _scene(SURPRISE, "Surprise+Positive"),
        ),
        subject=lambda person: f"sub{person + 1:02d}",
        clip=lambda person, place, scene: f"{person + 1:02d}_{place + 1}_gray",
        folder=lambda clip: f"4DME/gray_micro/{clip.subject}/{clip.clip}",
        file=_numbered("frame_"),
        write_tables=tables.write_four_dme,
        first_numbers=(12, 95),
        size=(480, 640),
        colour=False,
    ),
    "samm-lv": Layout(
        plan=(_scene(SURPRISE, "Surprise", "macro"), ANGER, HAPPINESS),
        subject=lambda person: f"{person + 6:03d}",
        clip=lambda person, place, scene: f"{person + 6:03d}_1_{place + 1}",
        folder=lambda clip: f"SAMM_longvideos/{_long_samm(clip)}",
        file=lambda clip, number: f"{_long_samm(clip)}_{number:04d}.jpg",
        write_tables=tables.write_samm_lv,
        first_numbers=(1,),
        size=(650, 960),
        colour=False,
        stride=300,
        gap=False,
    ),
    "custom": Layout(
        plan=(_scene(SURPRISE, "raised brows"), _scene(HAPPINESS, "smile")),
        subject=lambda person: f"person-{person + 1}",
        clip=lambda person, place, scene: f"person-{person + 1}-{place + 1}",
        folder=lambda clip: f"videos/{clip.clip}.avi",
        file=lambda clip, number: "",
        write_tables=tables.write_custom,
        first_numbers=(0,),
        size=(480, 640),
        gap=False,
        video=True,
    ),
}
"""By the name on the command line."""
