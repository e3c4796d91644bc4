"""Run a build on Dask: videos are the unit of work, shards the unit of commit.

Only paths and settings go to the workers and only short outcomes come back; a
prepared video waits on disk until its shard is complete. Tasks may run twice
(a worker that dies is replaced): everything they write is written by rename.
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from distributed import Future, KilledWorker, as_completed

from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.build_state import BuildState
from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.labels import LabelMapping
from mol_pipeline.contract.manifest import (
    MANIFEST_NAME,
    Manifest,
    Part,
    Provenance,
    RejectedVideo,
    read_manifest,
    write_manifest,
)
from mol_pipeline.databases.index import DatabaseIndex, SourceVideo
from mol_pipeline.errors import NO_ROOM, ConfigError, StageError
from mol_pipeline.graph.cluster import ClusterOptions, Crew, connect, dashboard
from mol_pipeline.graph.workplace import Receipt, Workplace
from mol_pipeline.landmarks import find_landmark_model, landmark_model_sha256
from mol_pipeline.segments import cut_long_videos
from mol_pipeline.shards import PreparedVideo, shard_problems, write_shard
from mol_pipeline.stages import Rejection, prepare_video, rejected_video, video_record

logger = logging.getLogger(__name__)

CRASHED = "crashed"
"""Reason code of a video whose task died unexpectedly; the next run tries it again."""


@dataclass(frozen=True)
class Progress:
    """State of a running build, for whoever draws it."""

    done: int
    total: int
    rejected: int
    shards: int
    message: str = ""


@dataclass(frozen=True)
class BuildResult:
    """What a run of `build` did."""

    manifest: Manifest
    shards_written: int
    shards_kept: int

    @property
    def failed_in_processing(self) -> tuple[RejectedVideo, ...]:
        """Videos that were indexed but could not be prepared."""
        return tuple(one for one in self.manifest.rejected if one.code in PROCESSING_CODES)


PROCESSING_CODES = frozenset(
    {"too-short", "no-key-frames", "unreadable-frame", "no-face", "bad-landmarks", CRASHED}
)
"""Reason codes that come from the stages rather than from the index."""


def build(
    index: DatabaseIndex,
    config: BuildConfig,
    out: Path,
    *,
    landmark_model: Path | None = None,
    cluster: ClusterOptions | None = None,
    overwrite: bool = False,
    part: Part | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> BuildResult:
    """Prepare every video of an index into shards and a manifest under `out`.

    Continues where an earlier run of the same build stopped. With `part` only that share
    of the shards is made; `mol_pipeline.merge.merge` joins the shares.

    Raises:
        ConfigError: If `out` is in use, or holds a build from other input or settings.
        SourceError: If the landmark model is missing.
    """
    model = find_landmark_model(landmark_model)
    index = cut_long_videos(index, config.segments)
    if not index.videos:
        raise ConfigError(
            f"{index.root}: no video to build ({len(index.rejected)} rejected while indexing); "
            f"see 'molprep index --dataset {index.database} --root {index.root}'"
        )
    state = BuildState(
        database=index.database,
        config_hash=config.hash,
        source_fingerprint=index.fingerprint(),
        annotation_sha256=hash_file(index.annotation) if index.annotation else None,
        landmark_model_sha256=landmark_model_sha256(model),
        versions=versions(),
        part=part,
    )
    place = Workplace(out.resolve())
    with _room_to_write(out), place.locked():
        finished = None if overwrite else _finished(place, state)
        if finished is not None and not list(shard_problems(place.out, finished.shards)):
            return BuildResult(finished, shards_written=0, shards_kept=len(finished.shards))
        place.open_state(state, overwrite=overwrite)
        if finished is not None:
            _restore_receipts(place, index, config.shards.videos_per_shard, finished, part)
        (place.out / MANIFEST_NAME).unlink(missing_ok=True)
        run = _Run(index, config, place, model, cluster or ClusterOptions(), on_progress, part)
        kept = run.collect_finished()
        written = run.work()
        manifest = _manifest(index, config, state, run.receipts)
        write_manifest(manifest, place.out)
        if not any(one.code == CRASHED for one in manifest.rejected):
            place.close()
    return BuildResult(manifest, shards_written=written, shards_kept=kept)


@contextlib.contextmanager
def _room_to_write(out: Path) -> Iterator[None]:
    """Name a full disk as what it is.

    Raises:
        StageError: If there is no room for a file of this process.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise full_disk(out, error) from error
        raise


def versions() -> dict[str, str]:
    """Versions of what touches the numbers."""
    names = (
        "mol-micro-expression",
        "numpy",
        "opencv-contrib-python",
        "dlib-bin",
        "h5py",
        "hdf5plugin",
    )
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _finished(place: Workplace, state: BuildState) -> Manifest | None:
    """Manifest of a finished build of the same thing, its shards unverified; else None.

    Raises:
        ConfigError: If the build there is of something else.
    """
    if not (place.out / MANIFEST_NAME).is_file() or place.hidden.exists():
        return None
    manifest = read_manifest(place.out)
    changed = BuildState.of_manifest(manifest).differences(state)
    if changed:
        raise ConfigError(
            f"{place.out}: holds a finished build in which {' and '.join(changed)} differ(s); "
            "choose another --out, or --overwrite to start anew"
        )
    return manifest


def _restore_receipts(
    place: Workplace, index: DatabaseIndex, size: int, manifest: Manifest, part: Part | None
) -> None:
    """Turn a damaged finished build into an unfinished one that keeps its good shards.

    A receipt is written for every shard; those whose file does not match theirs are
    not accepted when the run collects what is finished.
    """
    stored = {(video.subject, video.clip): video for video in manifest.videos}
    rejected = {
        (one.subject, one.clip): one for one in manifest.rejected if one.code in PROCESSING_CODES
    }
    shards = {shard.file: shard for shard in manifest.shards}
    for number, members in shard_members(len(index.videos), size, part).items():
        keys = [(index.videos[i].subject, index.videos[i].clip) for i in members]
        receipt = Receipt(
            shard=shards.get(place.shard_path(number).name),
            videos=tuple(stored[key] for key in keys if key in stored),
            rejected=tuple(rejected[key] for key in keys if key in rejected),
        )
        place.write_receipt(number, receipt)


def shard_members(videos: int, size: int, part: Part | None = None) -> dict[int, range]:
    """Which videos of an index go into which shard: `size` neighbours each.

    A part takes neighbouring shards, under the numbers that they have in a whole build.
    """
    firsts = range(0, videos, size)
    shards = [range(first, min(first + size, videos)) for first in firsts]
    low, high = 0, len(shards)
    if part is not None:
        low, high = ((part.number + i) * len(shards) // part.of for i in (-1, 0))
    return {number: shards[number] for number in range(low, high)}


class _Run:
    """One run over the shards that are not finished yet."""

    def __init__(
        self,
        index: DatabaseIndex,
        config: BuildConfig,
        place: Workplace,
        model: Path,
        options: ClusterOptions,
        on_progress: Callable[[Progress], None],
        part: Part | None,
    ) -> None:
        self.index = index
        self.config = config
        self.place = place
        self.model = model
        self.options = options
        self.on_progress = on_progress
        self.members = shard_members(len(index.videos), config.shards.videos_per_shard, part)
        self.total = sum(map(len, self.members.values()))
        self.receipts: dict[int, Receipt] = {}
        self.done = 0
        self.rejected = 0

    def collect_finished(self) -> int:
        """Take over the shards of an earlier run; returns how many."""
        for shard, members in self.members.items():
            receipt = self.place.receipt(shard)
            if receipt is None or any(one.code == CRASHED for one in receipt.rejected):
                continue
            if len(receipt.videos) + len(receipt.rejected) == len(members):
                self.receipts[shard] = receipt
                self.done += len(members)
        return len(self.receipts)

    def work(self) -> int:
        """Do what is left; returns the number of shards written."""
        todo = [shard for shard in self.members if shard not in self.receipts]
        self._report()
        if not todo:
            return 0
        with connect(self.options) as crew:
            if link := dashboard(crew.client):
                self._report(f"Dask dashboard: {link}")
            self._stream(crew, iter(self._videos_of(todo)))
        return len(todo)

    def _videos_of(self, shards: list[int]) -> Iterator[tuple[int, int]]:
        for shard in shards:
            for video in self.members[shard]:
                yield shard, video

    def _stream(self, crew: Crew, videos: Iterator[tuple[int, int]]) -> None:
        """Keep the crew's window of tasks in flight; commit a shard as soon as its videos are done.

        A video whose worker died may be an innocent neighbour of the one that killed it: it
        is tried once more when nothing else runs.
        """
        waiting = {shard: len(members) for shard, members in self.members.items()}
        crashed: dict[int, str] = {}
        suspects: list[tuple[int, int]] = []
        alone: set[int] = set()
        tasks: dict[object, tuple[int, int | None]] = {}
        client = crew.client
        pool = as_completed(loop=client.loop)

        def submit(shard: int, video: int) -> None:
            future = client.submit(
                _prepare_to_spool,
                video,
                self.index.videos[video],
                self.index.root,
                self.config,
                self.model,
                self.place,
                key=f"video-{video}{'-alone' if video in alone else ''}",
                retries=0 if video in alone else self.options.retries,
                pure=False,
            )
            tasks[future.key] = shard, video
            pool.add(future)

        def fill() -> None:
            in_flight = sum(video is not None for _, video in tasks.values())
            for shard, video in itertools.islice(videos, max(0, crew.window() - in_flight)):
                submit(shard, video)

        fill()
        for future in crew.finished(pool):
            shard, member = tasks.pop(future.key)
            _stop_on_full_disk(future, self.place.out)
            if member is None:
                self.receipts[shard] = _result(future, self.place.shard_path(shard))
                self._report()
            elif isinstance(_error(future), KilledWorker) and member not in alone:
                suspects.append((shard, member))
            else:
                self._note(future, member, crashed)
                waiting[shard] -= 1
            if member is not None:
                fill()
            if not tasks and suspects:
                shard_of_suspect, suspect = suspects.pop(0)
                alone.add(suspect)
                submit(shard_of_suspect, suspect)
            if waiting[shard] == 0 and member is not None:
                members = self.members[shard]
                commit = client.submit(
                    _commit_shard,
                    shard,
                    {video: self.index.videos[video] for video in members},
                    {video: crashed[video] for video in members if video in crashed},
                    self.index.mappings,
                    self.config,
                    self.place,
                    key=f"shard-{shard}",
                    retries=self.options.retries,
                    priority=10,
                    pure=False,
                )
                tasks[commit.key] = shard, None
                pool.add(commit)

    def _note(self, future: Future, video: int, crashed: dict[int, str]) -> None:
        message = ""
        if future.status == "finished":
            code = future.result()
            if code == "no-face" and self.config.detection.no_face == "fail":
                raise StageError(
                    f"{self.index.videos[video].key}: a frame has no face, and "
                    "detection.no_face is 'fail'; choose another policy with --no-face"
                )
            if code:
                self.rejected += 1
                message = f"{self.index.videos[video].key}: rejected, {code}"
        else:
            error = _error(future)
            crashed[video] = f"{type(error).__name__}: {error}"
            self.rejected += 1
            message = f"{self.index.videos[video].key}: crashed, {crashed[video]}"
            logger.warning("%s", message)
        self.done += 1
        self._report(message)

    def _report(self, message: str = "") -> None:
        self.on_progress(
            Progress(
                done=self.done,
                total=self.total,
                rejected=self.rejected,
                shards=len(self.receipts),
                message=message,
            )
        )


def _error(future: Future) -> BaseException | None:
    return future.exception() if future.status == "error" else None


def _result(future: Future, path: Path) -> Receipt:
    """Receipt of a shard.

    Raises:
        StageError: If it could not be written.
    """
    error = _error(future)
    if error is not None:
        raise StageError(
            f"{path}: could not be written ({type(error).__name__}: {error}); "
            "what is prepared is kept: run again"
        ) from error
    return future.result()


def _stop_on_full_disk(future: Future, out: Path) -> None:
    """End the build when a task could not write: every other one would fail likewise.

    Raises:
        StageError: If the disk is full, a quota is reached, or writing is not permitted.
    """
    error = _error(future)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        raise full_disk(out, error) from error


def full_disk(out: Path, error: OSError) -> StageError:
    """What to say when there is no room to write."""
    return StageError(
        f"{out}: cannot write ({error.strerror}); finished shards are kept: make room and run again"
    )


def _prepare_to_spool(
    number: int,
    video: SourceVideo,
    root: Path,
    config: BuildConfig,
    model: Path,
    place: Workplace,
) -> str:
    """Task: prepare one video onto disk. Returns the rejection code, empty if none."""
    if not place.is_spooled(number):
        try:
            place.spool(number, prepare_video(video, root, config, model))
        except Rejection as rejection:
            message = str(rejection).replace(f"{root}{os.sep}", "")  # no path of this machine
            place.spool(number, rejected_video(video, rejection.code, message))
            return rejection.code
    return ""


def _commit_shard(
    shard: int,
    videos: dict[int, SourceVideo],
    crashed: dict[int, str],
    mappings: tuple[LabelMapping, ...],
    config: BuildConfig,
    place: Workplace,
) -> Receipt:
    """Task: write one shard from the prepared videos, then its receipt."""
    done = place.receipt(shard)
    if done is not None and not crashed and not any(r.code == CRASHED for r in done.rejected):
        return done  # a task that ran twice
    path = place.shard_path(shard)
    stored: list[tuple[SourceVideo, PreparedVideo]] = []
    rejected: list[RejectedVideo] = []
    for number, video in videos.items():
        outcome = place.spooled(number)
        if isinstance(outcome, RejectedVideo):
            rejected.append(outcome)
        elif outcome is not None:
            stored.append((video, outcome))
        else:
            reason = crashed.get(number, "the prepared video is damaged")
            rejected.append(rejected_video(video, CRASHED, reason))
    record = None
    if stored:
        record = write_shard(
            path,
            [prepared for _, prepared in stored],
            compression=config.shards.compression,
            config_hash=config.hash,
        )
    else:
        path.unlink(missing_ok=True)
    records, row = [], 0
    for video, prepared in stored:
        records.append(video_record(video, prepared, mappings, shard=path.name, first_row=row))
        row += prepared.clips
    receipt = Receipt(shard=record, videos=tuple(records), rejected=tuple(rejected))
    place.write_receipt(shard, receipt)
    if not any(one.code == CRASHED for one in rejected):
        for number in videos:
            place.unspool(number)
    return receipt


def _manifest(
    index: DatabaseIndex, config: BuildConfig, state: BuildState, receipts: dict[int, Receipt]
) -> Manifest:
    ordered = [receipts[shard] for shard in sorted(receipts)]
    return Manifest(
        database=index.database,
        synthetic=index.synthetic,
        config=config.model_dump(mode="json"),
        config_hash=config.hash,
        frames_per_clip=config.sampling.frames,
        mappings=index.class_sets,
        provenance=Provenance(
            versions=state.versions,
            landmark_model_sha256=state.landmark_model_sha256,
            annotation_file=index.annotation.name if index.annotation else None,
            annotation_sha256=state.annotation_sha256,
            source_fingerprint=state.source_fingerprint,
            index_options=index.options,
        ),
        shards=tuple(receipt.shard for receipt in ordered if receipt.shard is not None),
        videos=tuple(video for receipt in ordered for video in receipt.videos),
        rejected=(*index.rejected, *(one for receipt in ordered for one in receipt.rejected)),
        corrections=index.corrections,
        counts=index.counts,
        notes=index.notes,
        part=state.part,
    )
