"""The folder of one run of a build, in which its tasks write and nothing else does.

What the files in it are is said in `graph.workplace`, which makes it.
"""

import contextlib
import json
import shutil
import uuid
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from mol_pipeline.contract.files import atomically, canonical_json, hash_file, write_atomically
from mol_pipeline.contract.manifest import RejectedVideo
from mol_pipeline.contract.records import Record
from mol_pipeline.reading.source_faults import read_patiently
from mol_pipeline.shards.clip_rows import Rows, read_npz, write_npz
from mol_pipeline.shards.files import PreparedVideo

RUN_NAME = "run.json"

_BESIDE_ARRAYS = [one.name for one in fields(PreparedVideo) if one.name != "arrays"]


class Outcome(Record):
    """What became of one video."""

    state: str
    video: int
    """Its position in the index."""
    key: str
    numbers: str
    """Hash of what the worker computes, see `graph.fitness`."""
    flow_backend: str
    """What solves the optical flow there, see `kernels.flow`."""
    rejected: RejectedVideo | None = None
    bytes: int = 0
    sha256: str = ""
    """Of the file in which the prepared video waits; empty if it is rejected."""


class OutOfSight(Exception):  # it is mapped to the error of the build
    """The folder of a run is not there, or is that of another run."""


class DamagedSpool(Exception):  # the ledger has them made anew
    """Prepared videos that are not what was recorded of them."""

    def __init__(self, videos: dict[int, str]) -> None:
        super().__init__(videos)
        self.videos = videos


@dataclass(frozen=True)
class RunFolder:
    """Where the tasks of one run write; travels to the workers."""

    path: Path
    state: str
    run: str

    def check(self, beside: Path | None = None) -> None:
        """Make sure that this is the folder that the builder made.

        Args:
            beside: Another folder that must be there.

        Raises:
            OutOfSight: If it is not.
        """
        try:
            label = self.path / RUN_NAME
            # That it is not there is an answer; a disk that stumbles is asked again.
            there = read_patiently(
                lambda: label.read_bytes() if label.exists() else b"", str(label)
            )
            seen = json.loads(there)
        except (OSError, ValueError) as error:
            raise OutOfSight(f"does not see {self.path} ({error})") from error
        if seen != self._label():
            raise OutOfSight(f"sees another build in {self.path}")
        if beside is not None and not beside.is_dir():
            raise OutOfSight(f"does not see {beside}")

    def create(self) -> None:
        """Make the folder, once."""
        self.path.mkdir(parents=True)
        write_atomically(self.path / RUN_NAME, canonical_json(self._label()))

    def _label(self) -> dict[str, str]:
        return {"run": self.run, "state": self.state}

    def new_shard_file(self, shard: int) -> Path:
        """A name that no other task uses."""
        return self.path / f"shard-{shard:05d}-{uuid.uuid4().hex}.h5"

    def keep(
        self,
        video: int,
        key: str,
        what: PreparedVideo | RejectedVideo,
        *,
        numbers: str,
        flow_backend: str,
    ) -> Outcome:
        """Keep what became of a video until its shard is written.

        Its file comes first, then the record that names it: a record without a whole file
        is found out by size and hash.
        """
        outcome = Outcome(
            state=self.state, video=video, key=key, numbers=numbers, flow_backend=flow_backend
        )
        if isinstance(what, RejectedVideo):
            outcome = outcome.model_copy(update={"rejected": what})
        else:
            path = self._file(video)
            rest = {name: getattr(what, name) for name in _BESIDE_ARRAYS}
            parts: dict[str, Rows] = {**what.arrays, "_rest": np.array(json.dumps(rest))}
            with atomically(path) as place:
                with place.open("wb") as file:
                    write_npz(file, parts)
                proof = {"bytes": place.stat().st_size, "sha256": hash_file(place)}
            outcome = outcome.model_copy(update=proof)
        write_atomically(self._record(video), canonical_json(outcome.model_dump(mode="json")))
        return outcome

    def outcome(self, video: int) -> Outcome | None:
        """What is recorded of a video, None if there is nothing, or nothing whole.

        The file is looked at by its size; its content is proved when it is read.
        """
        try:
            found = Outcome.model_validate_json(self._record(video).read_bytes())
        except (OSError, ValidationError):
            return None
        if (found.state, found.video) != (self.state, video):
            return None
        if found.rejected is None:
            try:
                size = self._file(video).stat().st_size
            except OSError:
                return None
            if size != found.bytes:
                return None
        return found

    def prepared(self, outcome: Outcome) -> PreparedVideo:
        """The prepared video that an outcome names.

        Raises:
            ValueError: If it is not what was recorded.
        """
        path = self._file(outcome.video)
        try:
            if hash_file(path) != outcome.sha256:
                raise ValueError("its file changed after it was written")
            arrays = read_npz(path)
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"its file cannot be read ({error})") from error
        rest: dict[str, Any] = json.loads(str(arrays.pop("_rest")))
        lists = {name: tuple(value) for name, value in rest.items() if isinstance(value, list)}
        return PreparedVideo(arrays=arrays, **{**rest, **lists})

    def adopt(self, other: "RunFolder") -> dict[int, Outcome]:
        """Take over what an earlier run prepared, then remove its folder."""
        found: dict[int, Outcome] = {}
        for path in sorted(other.path.glob("[0-9]*.json")):
            outcome = other.outcome(int(path.stem)) if path.stem.isdigit() else None
            if outcome is None:
                continue
            with contextlib.suppress(FileNotFoundError):  # a task of that run still works there
                if outcome.rejected is None:
                    other._file(outcome.video).replace(self._file(outcome.video))
                path.replace(self._record(outcome.video))
                found[outcome.video] = outcome
        shutil.rmtree(other.path, ignore_errors=True)
        return found

    def forget(self, video: int) -> None:
        """Drop what was kept of a video."""
        for path in (self._record(video), self._file(video)):
            path.unlink(missing_ok=True)

    def _record(self, video: int) -> Path:
        return self.path / f"{video:06d}.json"

    def _file(self, video: int) -> Path:
        return self.path / f"{video:06d}.npz"
