"""`moltrain predict`: one video after the other, each to JSON, a film and figures."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mol_model.clips.views import Normalisation, arrays_of, release_normalisation
from mol_model.inference.document import Identity, notes_of, window_document
from mol_model.inference.drawing import DRAWN, draw_video
from mol_model.inference.estimate import WindowEstimate, estimate_window
from mol_model.inference.video import (
    PreparedWindow,
    RejectedWindow,
    cut_windows,
    open_video,
    prepare_windows,
)
from mol_model.networks.build import BuiltNetwork
from mol_model.training.checkpoint import load_model, read_record, record_path
from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import write_atomically
from mol_pipeline.contract.manifest_file import MANIFEST_NAME
from mol_pipeline.contract.names import names_in_order
from mol_pipeline.contract.settings import load_settings
from mol_pipeline.contract.shard_layout import KEY_ARRAY_NAMES
from mol_pipeline.stages.video import UNREACHABLE, Kernels, Rejection, SourceFault, load_kernels

ANSWER = ("class", "action_units", "probabilities")
"""Of a window; of the whole video, if it is one window."""


@dataclass(frozen=True)
class PredictOptions:
    """How videos are looked at."""

    out: Path
    window: int | None = None
    """Frames that get one class; None for the whole video."""
    config: BuildConfig | None = None
    """None: as the shards that the checkpoint was trained on."""
    landmark_model: Path | None = None
    film: bool = True
    """Whether to write the annotated film."""


@dataclass(frozen=True)
class VideoResult:
    """What became of one video; its files lie in `folder`."""

    name: str
    folder: Path
    document: dict[str, Any]

    @property
    def rejected(self) -> str | None:
        """Why there is no answer, or None."""
        reason = self.document["rejected"]
        return None if reason is None else f"{reason['code']}: {reason['message']}"


BEFORE_PREPARATIONS: dict[str, Any] = {"alignment": {"reference": "frame"}}
"""Where a checkpoint does not say how its shards were prepared: the default of that time."""


def load_preparation(
    checkpoint: Path, path: Path | None = None, overrides: tuple[str, ...] = ()
) -> BuildConfig:
    """Settings of the preparation: the checkpoint's, over them a file's, over them single ones.

    A checkpoint of key frames was trained on pairs that nobody has annotated in a film: all
    phases of its length take their place, unless something else is asked for.

    Raises:
        TrainingError: If the checkpoint cannot be read.
        ConfigError: As `load_settings`.
    """
    remembered = read_record(record_path(checkpoint)).preparation or {}
    base: dict[str, Any] = {**BEFORE_PREPARATIONS, **remembered}
    if base.get("sampling", {}).get("phases") == "keyframes":
        base = {**base, "sampling": {**base["sampling"], "phases": "all"}}
    return load_settings(BuildConfig, path, overrides, base=base)


def fitted_config(config: BuildConfig, model: BuiltNetwork, window: int | None) -> BuildConfig:
    """Settings of the preparation with the network's clip length.

    Raises:
        ConfigError: If they ask for key frames, which nobody has annotated, or a window is
            shorter than a clip.
    """
    if config.sampling.phases == "keyframes":
        raise ConfigError(
            "sampling.phases=keyframes: a video of your own has no annotated onset and apex; "
            "use all or centre"
        )
    if window is not None and window < model.frames:
        raise ConfigError(
            f"--window {window}: shorter than a clip of this network, {model.frames} frames"
        )
    sampling = config.sampling.model_copy(update={"frames": model.frames})
    # Nobody has annotated an apex: what the settings say of such videos, or the largest flow.
    rule = "middle" if config.key_frames.apex == "middle" else "largest-flow"
    sees_keys = KEY_ARRAY_NAMES.intersection(arrays_of(model.definition.views))
    keys = config.key_frames.model_copy(update={"apex": rule if sees_keys else "none"})
    return config.model_copy(update={"sampling": sampling, "key_frames": keys})


def result_folders(paths: Sequence[Path], out: Path) -> list[Path]:
    """A folder below `out` for each video, by its name; equal names get a number.

    Raises:
        ConfigError: If an argument is a directory of shards, or results would lie among its
            frames.
    """
    stems: list[str] = []
    for path in paths:
        if (path / MANIFEST_NAME).is_file():
            raise ConfigError(
                f"{path}: is a directory of shards ({MANIFEST_NAME}), not a video; a checkpoint is "
                "tested on shards by 'moltrain evaluate'"
            )
        full = path.resolve()
        stems.append(full.name if full.is_dir() else full.stem)
    folders = [out / name for name in names_in_order(stems)]
    targets = {folder.resolve() for folder in folders}
    for path in paths:
        if path.resolve() in targets:
            raise ConfigError(f"--out {out}: results would lie among the frames of {path}")
    return folders


def predict_videos(
    paths: Sequence[Path],
    checkpoint: Path,
    options: PredictOptions,
    device: torch.device,
    *,
    on_result: Callable[[VideoResult], None] = lambda result: None,
) -> tuple[list[VideoResult], Identity]:
    """Look at each video; one that cannot be used never stops the others.

    Args:
        paths: Films and folders of frames.
        checkpoint: With or without ending.
        options: How.
        device: Where the network computes.
        on_result: Called after each video.

    Returns:
        A result for each video, and what all of them were made with.

    Raises:
        ConfigError: If settings do not go together, or an argument is no video.
        SourceError: If the landmark model is missing.
        TrainingError: If the checkpoint cannot be read.
    """
    folders = result_folders(paths, options.out)
    model, record = load_model(checkpoint, device)
    config = fitted_config(options.config or load_preparation(checkpoint), model, options.window)
    kernels = load_kernels(config.flow, options.landmark_model)
    look = _Look(
        model=model,
        identity=Identity(checkpoint, record, config),
        kernels=kernels,
        options=options,
        device=device,
    )
    results = []
    for path, folder in zip(paths, folders, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        for name in DRAWN:  # of an earlier look
            (folder / name).unlink(missing_ok=True)
        document = {"video": str(path), **look.at(path.resolve(), folder)}
        content = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / "prediction.json", content.encode())
        results.append(VideoResult(folder.name, folder, document))
        on_result(results[-1])
    return results, look.identity


@dataclass(frozen=True)
class _Look:
    """Everything loaded; looks at one video after the other."""

    model: BuiltNetwork
    identity: Identity
    kernels: Kernels
    options: PredictOptions
    device: torch.device

    def normalisation(self, window: PreparedWindow) -> Normalisation:
        """That of the checkpoint; weights of the authors' release take theirs from the window."""
        record = self.identity.record
        if record.imported:
            return release_normalisation([torch.from_numpy(window.frames)], self.model.crop_px)
        return Normalisation(record.mean, record.std)

    def at(self, path: Path, folder: Path) -> dict[str, Any]:
        """The document of a video; its film and figures are written into `folder`."""
        seen: list[tuple[PreparedWindow, WindowEstimate]] = []
        rejected: list[RejectedWindow] = []
        document: dict[str, Any] = {"limits": self.identity.limits(), "rejected": None}
        try:
            video = open_video(path)
            windows = cut_windows(video, self.options.window, self.model.frames)
            config = self.identity.config
            for window in prepare_windows(video, path.parent, windows, self.kernels, config):
                if isinstance(window, RejectedWindow):
                    rejected.append(window)
                else:
                    seen_as = self.normalisation(window)
                    estimate = estimate_window(
                        self.model, window, seen_as, self.device, several=self.identity.several
                    )
                    seen.append((window, estimate))
        except Rejection as error:
            document["rejected"] = {"code": error.code, "message": str(error)}
        except SourceFault as error:
            document["rejected"] = {"code": UNREACHABLE, "message": str(error)}
        if rejected and not seen:
            document["rejected"] = {"code": rejected[0].code, "message": _reason(rejected)}
        if document["rejected"]:
            return {**document, **self.identity.document()}
        parts = [
            window_document(
                window,
                estimate,
                self.identity.record.classes,
                several=self.identity.several,
            )
            for window, estimate in seen
        ]
        used = {int(n) for window, _ in seen for n in window.source_frames.flat}
        refused = sum(
            window.first <= number <= window.last
            for window in rejected
            for number, _ in video.frames
        )
        notes = notes_of(parts, rejected, remainder=len(video.frames) - refused - len(used))
        notes += [_sentence(remark) for remark in (*video.remarks, *seen[-1][0].remarks)]
        whole = parts[0] if len(windows) == 1 else {"class": None, "probabilities": None}
        notes += draw_video(
            video, path.parent, seen, self.identity.record.classes, folder, film=self.options.film
        )
        return {
            **document,
            **{name: whole[name] for name in ANSWER if name in whole},
            "notes": notes,
            "frames": {"found": len(video.frames), "used": len(used)},
            "windows": parts,
            "rejected_windows": [vars(window) for window in rejected],
            **self.identity.document(),
        }


def _sentence(remark: str) -> str:
    """A remark on a video as a sentence of its own."""
    return f"{remark[0].upper()}{remark[1:]}."


def _reason(rejected: Sequence[RejectedWindow]) -> str:
    """Why a video has no answer, and what can be done."""
    first = rejected[0]
    if len(rejected) > 1:
        return f"none of {len(rejected)} windows can be used; the first: {first.message}"
    if first.code == "no-face":
        return (
            f"{first.message}; if the face is there at times, --window FRAMES looks at parts of "
            "the video, and --set detection.no_face=interpolate bridges gaps"
        )
    return first.message
