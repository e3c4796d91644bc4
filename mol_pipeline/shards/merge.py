"""Join the outputs of several builds into one directory with one manifest.

Parts of one build give what the whole build would have given. Builds of different releases of
one database (halves of it on two disks, its micro- and its macro-expressions) are joined in the
order given: their frames and their annotation may differ, and nothing else.
"""

import shutil
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from mol_pipeline.contract.build_state import BuildState
from mol_pipeline.contract.errors import ConfigError, ManifestError
from mol_pipeline.contract.files import atomically, hash_document
from mol_pipeline.contract.manifest import (
    CountCheck,
    IndexOptions,
    Manifest,
    Provenance,
    RejectedVideo,
    ShardRecord,
    VideoRecord,
)
from mol_pipeline.contract.manifest_file import read_manifest, write_manifest
from mol_pipeline.contract.rejections import NOT_HERE, UNFINISHED
from mol_pipeline.shards.files import shard_problems
from mol_pipeline.shards.opening import check_against_shards

MAY_DIFFER = frozenset({"part", "source_fingerprint", "annotation_sha256"})
"""Fields of the state in which builds of different releases may differ."""

SUBJECTS = "subjects"
"""Name of the published count of people."""

Builds = Sequence[tuple[Path, Manifest]]
T = TypeVar("T", bound=Hashable)


def merge(directories: Sequence[Path], out: Path) -> Manifest:
    """Copy the shards of several directories into one and write their common manifest.

    The parts of one build give the bytes that the whole build would have given. Builds of
    different releases of one database are joined in the order given, their shards renumbered;
    `provenance.joined` keeps what each was made from.

    Args:
        directories: Each with a manifest, its shards whole.
        out: New or empty.

    Raises:
        ConfigError: If the builds do not go together, a part is missing, a video is in two, or
            `out` is in use.
        ManifestError: If a directory is damaged.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: already in use; name a new or empty directory")
    builds: Builds = [(directory, read_manifest(directory)) for directory in directories]
    for directory, manifest in builds:
        for problem in shard_problems(directory, manifest.shards):
            raise ManifestError(
                f"{directory / problem.where}: {problem.message}; build that part again first"
            )
    _check_alike(builds)
    builds = _in_order(builds)
    rejected = _rejected(builds)
    for directory, manifest in builds:
        check_against_shards(directory, manifest)
    merged = _joined([manifest for _, manifest in builds], rejected)
    out.mkdir(parents=True, exist_ok=True)
    files = iter(merged.shards)
    for directory, manifest in builds:
        for shard in manifest.shards:
            # By rename: a merge that is stopped leaves no half of a shard under its name.
            with atomically(out / next(files).file) as place:
                shutil.copyfile(directory / shard.file, place)
    write_manifest(merged, out)
    return merged


def unfinished(manifest: Manifest) -> tuple[RejectedVideo, ...]:
    """Videos that another run of their build would try again."""
    return tuple(one for one in manifest.rejected if one.code in UNFINISHED)


def _check_alike(builds: Builds) -> None:
    first_directory, first = builds[0]
    state = BuildState.of_manifest(first)
    for directory, manifest in builds[1:]:
        may_differ = MAY_DIFFER if manifest.part is None else {"part"}
        different = [
            what
            for what, mine, theirs in (
                ("the number of parts", _parts_of(first), _parts_of(manifest)),
                ("the label mappings", first.mappings, manifest.mappings),
                ("being synthetic", first.synthetic, manifest.synthetic),
            )
            if mine != theirs
        ]
        different += BuildState.of_manifest(manifest).differences(state, apart_from=may_differ)
        if manifest.part is not None:
            different += [
                f"the {what} of the index"
                for what in ("corrections", "counts", "notes")
                if getattr(first, what) != getattr(manifest, what)
            ]
            if first.provenance.index_options != manifest.provenance.index_options:
                different.append("the options of the index")
        if different:
            raise ConfigError(
                f"{directory} and {first_directory} differ in {' and '.join(different)}; only "
                "builds of one database by one program with one set of settings can be merged: "
                "build one of them again"
            )


def _parts_of(manifest: Manifest) -> int | None:
    return manifest.part.of if manifest.part else None


def _in_order(builds: Builds) -> Builds:
    """Parts by their number; other builds as they were given."""
    of = _parts_of(builds[0][1])
    if of is None:
        return builds
    numbers = Counter(manifest.part.number for _, manifest in builds if manifest.part)
    missing = [number for number in range(1, of + 1) if number not in numbers]
    twice = [number for number, count in numbers.items() if count > 1]
    if missing or twice:
        words = [f"missing {missing}"] * bool(missing) + [f"twice {twice}"] * bool(twice)
        raise ConfigError(f"not the {of} parts of a build: {', '.join(words)}")
    return sorted(builds, key=lambda build: build[1].part.number if build[1].part else 0)


def _rejected(builds: Builds) -> tuple[RejectedVideo, ...]:
    """What is rejected in the joined directory, each once.

    All have in common what was rejected while indexing one table. A clip whose frames one
    release does not hold is not rejected where another does.

    Raises:
        ConfigError: If two builds have an outcome for one video.
    """
    common = set.intersection(*(set(manifest.rejected) for _, manifest in builds))
    owners: dict[tuple[str, ...], Path] = {}
    for directory, manifest in builds:
        own = [one for one in manifest.rejected if one not in common and not _is_absent(one)]
        for key in dict.fromkeys([*map(_key, manifest.videos), *map(_key, own)]):
            if owners.setdefault(key, directory) is not directory:
                raise ConfigError(
                    f"{'/'.join(key)} is in {owners[key]} and in {directory}, stored or rejected; "
                    "a video may be in one of the builds only: leave it out of the other"
                )
    stored = {_key(video) for _, manifest in builds for video in manifest.videos}
    everything = _each_once(manifest.rejected for _, manifest in builds)
    return tuple(
        one for one in everything if not (_is_absent(one) and _key(one) in stored | set(owners))
    )


def _is_absent(rejected: RejectedVideo) -> bool:
    return rejected.code == NOT_HERE


def _key(video: VideoRecord | RejectedVideo) -> tuple[str, ...]:
    return video.database, video.subject, video.clip


def _each_once(tuples: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    """The first tuple, and what the others have beyond those before them."""
    joined: list[T] = []
    for items in tuples:
        before = set(joined)
        joined += [item for item in items if item not in before]
    return tuple(joined)


def _joined(manifests: Sequence[Manifest], rejected: tuple[RejectedVideo, ...]) -> Manifest:
    first = manifests[0]
    whole = first.part is not None
    shards: list[ShardRecord] = []
    videos: list[VideoRecord] = []
    for manifest in manifests:
        names = {}
        for shard in manifest.shards:
            name = shard.file if whole else f"shard-{len(shards):05d}.h5"
            names[shard.file] = name
            shards.append(shard.model_copy(update={"file": name}))
        videos += [
            video.model_copy(update={"shard": names[video.shard]}) for video in manifest.videos
        ]
    return first.model_copy(
        update={
            "shards": tuple(shards),
            "videos": tuple(videos),
            "rejected": rejected,
            "corrections": _each_once(manifest.corrections for manifest in manifests),
            "notes": _notes(manifests, rejected),
            "counts": first.counts if whole else _counts(manifests),
            "provenance": _provenance(manifests, whole=whole),
            "part": None,
        }
    )


def _notes(manifests: Sequence[Manifest], rejected: tuple[RejectedVideo, ...]) -> tuple[str, ...]:
    notes = _each_once(manifest.notes for manifest in manifests)
    absent = {one for manifest in manifests for one in manifest.rejected if _is_absent(one)}
    if held := absent - set(rejected):
        notes += (f"{len(held)} clip(s) that one of the builds lacks are in another",)
    if len(kinds := _numbers(manifests)) > 1:
        notes += (
            f"made on {len(kinds)} kinds of processor or builds of a library, which compute "
            "slightly different flow from equal frames",
        )
    return notes


def _numbers(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    return tuple(sorted({one for each in manifests for one in each.provenance.numbers}))


def _provenance(manifests: Sequence[Manifest], *, whole: bool) -> Provenance:
    """What the joined builds were made from: what is common to all, and each by itself.

    For a build whose parts are `whole` together, that of the build. Of several builds the
    fingerprint is a hash over theirs, in order; the annotation is named if it is one file.
    """
    numbers = _numbers(manifests)
    solvers = {one for manifest in manifests for one in manifest.provenance.flow_backends}
    backends = tuple(sorted(solvers))
    if whole:
        update = {"numbers": numbers, "flow_backends": backends}
        return manifests[0].provenance.model_copy(update=update)
    each = [
        one
        for manifest in manifests
        for one in manifest.provenance.joined or (manifest.provenance,)
    ]
    first, options = each[0], [one.index_options for one in each]
    one_table = len({one.annotation_sha256 for one in each}) == 1
    return Provenance(
        versions=first.versions,
        landmark_model_sha256=first.landmark_model_sha256,
        annotation_file=first.annotation_file if one_table else None,
        annotation_sha256=first.annotation_sha256 if one_table else None,
        source_fingerprint=hash_document([one.source_fingerprint for one in each]),
        index_options=options[0]
        if all(one == options[0] for one in options)
        else IndexOptions(corrections=all(one.corrections for one in options)),
        numbers=numbers,
        flow_backends=backends,
        joined=tuple(each),
    )


def _counts(manifests: Sequence[Manifest]) -> tuple[CountCheck, ...]:
    """Counts of the builds together against the published ones.

    A build of one kind of expression has the counts of its whole copy: they count once.
    """
    counted: list[Manifest] = []
    for manifest in manifests:
        kind = manifest.provenance.index_options.expression
        if kind == "all" or not any(
            one.counts == manifest.counts
            and one.provenance.annotation_sha256 == manifest.provenance.annotation_sha256
            for one in counted
        ):
            counted.append(manifest)
    found: dict[str, CountCheck] = {}
    for check in (check for manifest in counted for check in manifest.counts):
        before = found.get(check.what)
        total = check.found + (before.found if before else 0)
        found[check.what] = check.model_copy(update={"found": total})
    if len(counted) > 1 and SUBJECTS in found:
        # People may be in several of the builds.
        people = {video.subject for one in counted for video in one.videos}
        people |= {video.subject for one in counted for video in one.rejected}
        found[SUBJECTS] = found[SUBJECTS].model_copy(update={"found": len(people)})
    return tuple(found.values())
