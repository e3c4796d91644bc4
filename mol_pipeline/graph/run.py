"""A build from an index to a manifest: continue what is there, run what is left, join it.

The parts: `ledger` says what is to be done next, `tasks` does it on the workers, `dispatch`
stands between them and Dask, `workplace` keeps the output directory.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.build_state import BuildState
from mol_pipeline.contract.errors import REFUSALS, ConfigError, StageError, refusal_number
from mol_pipeline.contract.files import hash_file
from mol_pipeline.contract.holding import Busy, Hold
from mol_pipeline.contract.manifest import Manifest, Part, Provenance, RejectedVideo
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest, write_manifest
from mol_pipeline.contract.rejections import UNFINISHED
from mol_pipeline.databases.index import DatabaseIndex
from mol_pipeline.graph.cluster import ClusterOptions, connect, dashboard
from mol_pipeline.graph.dispatch import Alike, Dispatcher
from mol_pipeline.graph.fitness import THIS_PROCESS
from mol_pipeline.graph.ledger import Failure, Ledger, shard_members
from mol_pipeline.graph.run_folder import Outcome
from mol_pipeline.graph.tasks import Commission, WrittenShard
from mol_pipeline.graph.workplace import LASTING, Receipt, Workplace, cannot_write
from mol_pipeline.kernels.flow import backend as flow_backend
from mol_pipeline.kernels.landmarks import find_landmark_model, landmark_model_sha256
from mol_pipeline.kernels.recognition import find_network
from mol_pipeline.shards.files import shard_problems
from mol_pipeline.shards.opening import check_against_shards
from mol_pipeline.stages.segments import videos_to_build


@dataclass(frozen=True)
class Progress:
    """State of a running build, for whoever draws it."""

    done: int
    total: int
    rejected: int
    shards: int
    message: str = ""


Listener = Callable[[Progress], None]


@dataclass(frozen=True)
class BuildResult:
    """What a run of `build` did."""

    manifest: Manifest
    shards_written: int
    shards_kept: int
    failed_in_processing: tuple[RejectedVideo, ...]
    """Videos that were indexed but could not be prepared."""


def build(
    index: DatabaseIndex,
    config: BuildConfig,
    out: Path,
    *,
    landmark_model: Path | None = None,
    cluster: ClusterOptions | None = None,
    overwrite: bool = False,
    part: Part | None = None,
    on_progress: Listener = lambda progress: None,
) -> BuildResult:
    """Prepare every video of an index into shards and a manifest under `out`.

    Continues where an earlier run of the same build stopped. With `part` only that share
    of the shards is made; `mol_pipeline.shards.merge.merge` joins the shares.

    Raises:
        ConfigError: If `out` is in use, or holds a build from other input or settings, or a
            worker would compute something else than this process.
        SourceError: If the landmark model or the network that tells people apart is missing.
        StageError: If the output cannot be written, no worker can be had, or a frame has no
            face and the settings say that this ends the build.
    """
    # Workers have another working directory; links are kept, they may lead elsewhere there.
    model = find_landmark_model(landmark_model).absolute()
    if config.detection.person == "network":
        find_network()  # asked rarely: it would be missed in the middle of a build
    index = videos_to_build(index, config.segments)
    state = BuildState(
        database=index.database,
        config_hash=config.hash,
        source_fingerprint=index.fingerprint(),
        annotation_sha256=hash_file(index.annotation) if index.annotation else None,
        landmark_model_sha256=landmark_model_sha256(model),
        versions=THIS_PROCESS.versions,
        part=part,
    )
    place = Workplace(out.absolute())
    with _room_to_write(place.out), place.locked() as hold:
        finished = None if overwrite else _finished(place, state)
        if finished is not None and not list(shard_problems(place.out, finished.shards)):
            check_against_shards(place.out, finished)
            failed = _failed_in_processing(finished, index)
            return BuildResult(finished, 0, len(finished.shards), failed)
        place.open_state(state, overwrite=overwrite)
        if finished is not None:
            _restore_receipts(place, state, index, config.shards.videos_per_shard, finished)
        (place.out / MANIFEST_NAME).unlink(missing_ok=True)
        run = _Run(index, config, place, hold, state, model, on_progress)
        kept = len(run.ledger.receipts)
        run.work(cluster or ClusterOptions())
        receipts = [run.ledger.receipts[shard] for shard in sorted(run.ledger.receipts)]
        manifest = _manifest(index, config, state, receipts)
        write_manifest(manifest, place.out)
        failed = tuple(one for receipt in receipts for one in receipt.rejected)
        if not any(one.code in UNFINISHED for one in failed):
            place.close()
    return BuildResult(manifest, len(receipts) - kept, kept, failed)


@contextlib.contextmanager
def _room_to_write(out: Path) -> Iterator[None]:
    """Name what keeps this process from writing.

    Raises:
        StageError: If it cannot.
    """
    try:
        yield
    except OSError as error:
        number = refusal_number(error)
        if number is None or number not in LASTING | REFUSALS.keys():
            raise
        raise cannot_write(out, number, error.strerror or str(error)) from error


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


def _failed_in_processing(manifest: Manifest, index: DatabaseIndex) -> tuple[RejectedVideo, ...]:
    """Those that the index did not reject already."""
    indexed = set(index.rejected)
    return tuple(one for one in manifest.rejected if one not in indexed)


def _restore_receipts(
    place: Workplace, state: BuildState, index: DatabaseIndex, size: int, manifest: Manifest
) -> None:
    """Turn a damaged finished build into an unfinished one that keeps its good shards.

    A receipt is written for every shard; those whose file does not match theirs are
    not accepted when the run collects what is finished.
    """
    stored = {(video.subject, video.clip): video for video in manifest.videos}
    rejected = {(one.subject, one.clip): one for one in _failed_in_processing(manifest, index)}
    shards = {shard.file: shard for shard in manifest.shards}
    for number, members in shard_members(len(index.videos), size, state.part).items():
        keys = [(index.videos[i].subject, index.videos[i].clip) for i in members]
        receipt = Receipt(
            shard=shards.get(place.shard_path(number).name),
            videos=tuple(stored[key] for key in keys if key in stored),
            rejected=tuple(rejected[key] for key in keys if key in rejected),
            numbers=manifest.provenance.numbers,
            flow_backends=manifest.provenance.flow_backends,
        )
        place.write_receipt(state, number, receipt)


class _Run:
    """One run over what is not finished yet."""

    def __init__(
        self,
        index: DatabaseIndex,
        config: BuildConfig,
        place: Workplace,
        hold: Hold,
        state: BuildState,
        model: Path,
        on_progress: Listener,
    ) -> None:
        self._index = index
        self._place = place
        self._hold = hold
        self._state = state
        self._on_progress = on_progress
        self._no_face_ends_it = config.detection.no_face == "fail"
        members = shard_members(len(index.videos), config.shards.videos_per_shard, state.part)
        self._total = sum(map(len, members.values()))
        self._alike = Alike()
        finished = {
            shard: receipt
            for shard, videos in members.items()
            if (receipt := self._finished_shard(shard, videos)) is not None
        }
        folder, known = place.begin_run(state)
        for video, outcome in list(known.items()):
            if outcome.key != index.videos[video].key:
                del known[video]  # its record is damaged: it is prepared again
                continue
            self._alike.compare(outcome.numbers, outcome.key)
            self._mind_missing_face(outcome)
        self._commission = Commission(
            folder=folder,
            root=index.root,
            config=config,
            mappings=index.mappings,
            model=model,
            model_sha256=state.landmark_model_sha256,
            builder=THIS_PROCESS,
        )
        self.ledger: Ledger[Outcome, Receipt] = Ledger(members, finished=finished, known=known)
        self._rejected = 0

    def _finished_shard(self, shard: int, videos: range) -> Receipt | None:
        """Receipt of a shard that an earlier run finished for good."""
        receipt = self._place.receipt(self._state, shard)
        if receipt is None or any(one.code in UNFINISHED for one in receipt.rejected):
            return None
        if len(receipt.videos) + len(receipt.rejected) != len(videos):
            return None
        for numbers in receipt.numbers:
            self._alike.compare(numbers, self._place.shard_path(shard).name)
        for one in receipt.rejected:
            self._mind_missing_face(one)
        return receipt

    def work(self, options: ClusterOptions) -> None:
        """Do what is left."""
        self._report()
        if self.ledger.is_complete:
            return
        # Compiled once, here: the workers find it in numba's cache.
        backend = flow_backend(self._commission.config.flow)
        if backend.reason:
            self._report(f"optical flow by OpenCV, up to nine times slower: {backend.reason}")
        dispatcher = Dispatcher(
            self.ledger,
            self._commission,
            self._index.videos,
            alike=self._alike,
            shard_path=self._place.shard_path,
            take_shard=self._take_shard,
            on_video=self._note,
        )
        with connect(options) as crew:
            if link := dashboard(crew.client):
                self._report(f"Dask dashboard: {link}")
            dispatcher.run(crew)

    def _take_shard(self, shard: int, written: WrittenShard) -> None:
        """A shard is written: give it its name, and drop what waited for it."""
        try:
            self._hold.check()
        except Busy as busy:
            raise StageError(
                f"{self._place.out}: another build took it over while this one stood still ({busy})"
            ) from busy
        self._place.take_shard(self._state, shard, written.file, written.receipt)
        if any(one.code in UNFINISHED for one in written.receipt.rejected):
            return  # the next run needs the others again
        for video in self.ledger.outcomes(shard):
            self._commission.folder.forget(video)

    def _note(self, video: int, outcome: Outcome | Failure) -> None:
        message = ""
        key = self._index.videos[video].key
        if isinstance(outcome, Failure):
            message = f"{key}: {outcome.code}, {outcome.reason}"
        elif outcome.rejected is not None:
            self._mind_missing_face(outcome)
            message = f"{key}: rejected, {outcome.rejected.code}"
        self._rejected += bool(message)
        self._report(message)

    def _mind_missing_face(self, outcome: Outcome | RejectedVideo) -> None:
        """Whichever run found it: a frame without a face may end the build.

        Raises:
            StageError: If it does.
        """
        rejected = outcome.rejected if isinstance(outcome, Outcome) else outcome
        if self._no_face_ends_it and rejected is not None and rejected.code == "no-face":
            raise StageError(
                f"{rejected.database}/{rejected.subject}/{rejected.clip}: a frame has no face, and "
                "detection.no_face is 'fail'; choose another policy with --no-face"
            )

    def _report(self, message: str = "") -> None:
        self._on_progress(
            Progress(
                done=self.ledger.ended,
                total=self._total,
                rejected=self._rejected,
                shards=len(self.ledger.receipts),
                message=message,
            )
        )


def _manifest(
    index: DatabaseIndex, config: BuildConfig, state: BuildState, receipts: list[Receipt]
) -> Manifest:
    return Manifest(
        database=index.database,
        synthetic=index.synthetic,
        config=config.document,
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
            numbers=tuple(sorted({one for receipt in receipts for one in receipt.numbers})),
            flow_backends=tuple(
                sorted({one for receipt in receipts for one in receipt.flow_backends})
            ),
        ),
        shards=tuple(receipt.shard for receipt in receipts if receipt.shard is not None),
        videos=tuple(video for receipt in receipts for video in receipt.videos),
        rejected=(*index.rejected, *(one for receipt in receipts for one in receipt.rejected)),
        corrections=index.corrections,
        counts=index.counts,
        notes=index.notes,
        part=state.part,
    )
