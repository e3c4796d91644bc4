"""Parts joined, shards repaired, clips as plain files."""

import csv
import hashlib
import json
import shutil
from functools import partial

import cv2
import h5py
import numpy as np
import pytest

from mol_pipeline.cli import main
from mol_pipeline.contract.errors import ConfigError, ManifestError
from mol_pipeline.contract.manifest import ClassSet, Correction, IndexOptions, Part, RejectedVideo
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest, write_manifest
from mol_pipeline.graph.ledger import shard_members
from mol_pipeline.shards.merge import merge
from tests.fakes import FakeClip, write_samm_tree
from tests.in_process import invoke
from tests.rewritten import rewrite

CLIPS = [
    FakeClip("006_1_1", 5, 6, 8, "Anger", shift_px=2),
    FakeClip("006_1_2", 9999, 10000, 10000, "Happiness"),
    FakeClip("007_1_1", 1, 2, 2, "Other", frames=[1]),
    FakeClip("008_1_1", 20, 21, 21, "Contempt"),
    FakeClip("009_1_1", 1, 2, 2, "Surprise", damaged=frozenset({2})),
    FakeClip("010_1_1", 1, 2, 2, "Surprise"),
    FakeClip("011_1_1", 5, 4, 2, "Surprise"),  # impossible: rejected while indexing
]
SETTINGS = ["--set", "sampling.frames=2", "--set", "shards.videos_per_shard=2", "--workers", "1"]


run = partial(invoke, main)


def content(directory):
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """A database, a whole build of it, and the same build in two parts."""
    base = tmp_path_factory.mktemp("parts")
    root = write_samm_tree(
        base / "root", [c for c in CLIPS if c.onset <= c.offset], real_faces=True
    )
    write_samm_tree(base / "tables", CLIPS)
    shutil.copy(base / "tables/SAMM_Micro_FACS_Codes_v2.xlsx", root)
    command = ["build", "--dataset", "samm", "--root", root, *SETTINGS]
    assert run(*command, "--out", base / "whole").exit_code == 6
    for number in (1, 2):
        result = run(*command, "--out", base / f"part-{number}", "--part", f"{number}/2")
        assert result.exit_code == {1: 0, 2: 6}[number], result.output
    return base


def test_parts_merge_to_the_bytes_of_the_whole_build(builds, tmp_path):
    out = tmp_path / "merged"
    # The order in which they are named does not matter.
    result = run("merge", builds / "part-2", builds / "part-1", "--out", out)
    assert result.exit_code == 0, result.output
    assert content(out) == content(builds / "whole")
    assert len(read_manifest(out).rejected) == 3
    assert run("verify", out).exit_code == 0


def test_parts_of_two_kinds_of_processor_are_joined_with_a_word(builds, tmp_path):
    other = tmp_path / "part-2"
    shutil.copytree(builds / "part-2", other)
    manifest = read_manifest(other)
    (numbers,) = manifest.provenance.numbers
    provenance = manifest.provenance.model_copy(update={"numbers": ("0123456789abcdef",)})
    write_manifest(manifest.model_copy(update={"provenance": provenance}), other)
    merged = merge([builds / "part-1", other], tmp_path / "out")
    assert merged.provenance.numbers == tuple(sorted(("0123456789abcdef", numbers)))
    assert "made on 2 kinds of processor" in merged.notes[-1]


def test_a_part_is_marked_and_cannot_be_taken_for_the_whole(builds, tmp_path):
    manifest = read_manifest(builds / "part-2")
    assert manifest.part == Part(number=2, of=2)
    with pytest.raises(ConfigError, match=r"not the 2 parts of a build: missing \[1\]"):
        merge([builds / "part-2"], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"twice \[2\]"):
        merge([builds / "part-2", builds / "part-1", builds / "part-2"], tmp_path / "out")
    with pytest.raises(ConfigError, match="differ in the number of parts"):
        merge([builds / "whole", builds / "part-1"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_wrong_part_is_refused(builds, part):
    result = run("build", "--dataset", "samm", "--root", builds, "--out", builds, "--part", part)
    assert result.exit_code == 2
    assert "must be I/N" in result.stderr


@pytest.mark.parametrize(("videos", "size", "of"), [(7, 2, 3), (1, 4, 5), (100, 3, 7)])
def test_parts_cover_every_shard_once(videos, size, of):
    parts = [shard_members(videos, size, Part(number=i, of=of)) for i in range(1, of + 1)]
    joined = [item for part in parts for item in part.items()]
    assert joined == list(shard_members(videos, size).items())


def test_other_settings_or_repeated_videos_do_not_merge(builds, tmp_path):
    manifest = read_manifest(builds / "whole")
    copy = tmp_path / "copy"
    shutil.copytree(builds / "whole", copy)
    with pytest.raises(ConfigError, match="samm/006/006_1_1 is in"):
        merge([builds / "whole", copy], tmp_path / "out")
    (copy / manifest.shards[0].file).unlink()
    with pytest.raises(ManifestError, match="build that part again first"):
        merge([builds / "whole", copy], tmp_path / "out")


def changed(directory, copy, **updates):
    """A copy of a build whose manifest says something else; `provenance` is a dict of changes."""
    shutil.copytree(directory, copy)
    manifest = read_manifest(copy)
    if "provenance" in updates:
        updates["provenance"] = manifest.provenance.model_copy(update=updates["provenance"])
    write_manifest(manifest.model_copy(update=updates), copy)
    return copy


ALWAYS = {
    "the database": {"database": "samm-lv"},
    "the settings": {"config_hash": "1" * 64},
    "the landmark model": {"provenance": {"landmark_model_sha256": "1" * 64}},
    r"the versions of the programs \(.*, opencv-contrib-python absent / \d": {
        "provenance": {"versions": {}}
    },
    "being synthetic": {"synthetic": True},
    "the label mappings": {"mappings": (ClassSet(mapping="5", classes=("a", "b")),)},
}
"""What no two builds that are joined may differ in."""
IN_PARTS = {
    "the source files": {"provenance": {"source_fingerprint": "1" * 64}},
    "the annotation file": {"provenance": {"annotation_sha256": "1" * 64}},
    "the options of the index": {"provenance": {"index_options": IndexOptions(corrections=False)}},
    "the notes of the index": {"notes": ("something",)},
    "the counts of the index": {"counts": ()},
    "the corrections of the index": {
        "corrections": (
            Correction(subject="1", clip="1", field="apex", wrong="1", right="2", source="me"),
        )
    },
}
"""What parts of one build may not differ in besides."""


@pytest.mark.parametrize("what", [*ALWAYS, *IN_PARTS])
def test_parts_that_differ_do_not_merge(builds, tmp_path, what):
    other = changed(builds / "part-2", tmp_path / "copy", **(ALWAYS | IN_PARTS)[what])
    with pytest.raises(ConfigError, match=f"differ in {what}"):
        merge([builds / "part-1", other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ALWAYS)
def test_builds_by_other_programs_or_settings_do_not_merge(builds, tmp_path, what):
    other = changed(builds / "whole", tmp_path / "copy", **ALWAYS[what])
    with pytest.raises(ConfigError, match=f"differ in {what}"):
        merge([builds / "whole", other], tmp_path / "out")


def test_a_video_with_two_outcomes_is_refused(builds, tmp_path):
    stored = read_manifest(builds / "part-1").videos[0]
    rejection = RejectedVideo(
        database="samm", subject=stored.subject, clip=stored.clip, code="no-face", message="none"
    )
    rejected = (*read_manifest(builds / "part-2").rejected, rejection)
    other = changed(builds / "part-2", tmp_path / "copy", rejected=rejected)
    with pytest.raises(ConfigError, match=r"samm/006/006_1_1 is in .*part-1 and in .*copy"):
        merge([builds / "part-1", other], tmp_path / "out")


def test_videos_that_a_part_did_not_finish_are_said(builds, tmp_path):
    crashed = RejectedVideo(
        database="samm", subject="099", clip="099_1_1", code="crashed", message="KilledWorker"
    )
    rejected = (*read_manifest(builds / "part-2").rejected, crashed)
    other = changed(builds / "part-2", tmp_path / "copy", rejected=rejected)
    result = run("merge", builds / "part-1", other, "--out", tmp_path / "out")
    assert result.exit_code == 6
    assert "not finished: samm/099/099_1_1: crashed: KilledWorker" in result.stderr
    assert "run 'molprep build' of their part again" in result.stderr


@pytest.fixture
def other_release(builds, tmp_path):
    """The whole build as if of other people, from another disk and another table."""
    other = shutil.copytree(builds / "whole", tmp_path / "of-others")
    manifest = rewrite(other, lambda one: one.model_copy(update={"subject": f"9{one.subject}"}))
    absent = RejectedVideo(
        database="samm", subject="006", clip="006_1_1", code="no-folder", message="no folder"
    )
    correction = Correction(
        subject="9006", clip="006_1_1", field="apex", wrong="1", right="2", source="me"
    )
    return changed(
        other,
        tmp_path / "other",
        rejected=(absent,),
        corrections=(correction,),
        notes=("another disk", *manifest.notes),
        provenance={"source_fingerprint": "2" * 64, "annotation_sha256": "3" * 64},
    )


def test_two_releases_of_one_database_are_renumbered(builds, other_release, tmp_path):
    manifest = read_manifest(builds / "whole")
    merged = merge([builds / "whole", other_release], tmp_path / "out")
    assert [shard.file for shard in merged.shards] == [
        f"shard-{number:05d}.h5" for number in range(2 * len(manifest.shards))
    ]
    assert len(merged.videos) == 2 * len(manifest.videos)
    assert {video.shard for video in merged.videos} == {shard.file for shard in merged.shards}
    assert run("verify", tmp_path / "out").exit_code == 0


def test_two_releases_keep_what_each_says(builds, other_release, tmp_path):
    whole, other = read_manifest(builds / "whole"), read_manifest(other_release)
    merged = merge([builds / "whole", other_release], tmp_path / "out")

    assert merged.corrections == (*whole.corrections, *other.corrections)
    absent = "1 clip(s) that one of the builds lacks are in another"
    assert merged.notes == (*whole.notes, "another disk", absent)
    assert merged.rejected == whole.rejected  # what the other lacks, this one has
    provenance = merged.provenance
    assert provenance.joined == (whole.provenance, other.provenance)
    assert provenance.source_fingerprint not in {
        one.provenance.source_fingerprint for one in (whole, other)
    }
    assert provenance.annotation_file is None
    found = {check.what: check.found for check in merged.counts}
    before = {check.what: check.found for check in whole.counts}
    assert found["videos"] == 2 * before["videos"]
    assert found["subjects"] == len(
        {one.subject for one in (*merged.videos, *whole.rejected, *other.rejected)}
    )

    repair = run("verify", tmp_path / "out", "--repair", "--root", builds / "root")
    assert repair.exit_code == 0  # nothing is broken
    next((tmp_path / "out").glob("*.h5")).write_bytes(b"")
    repair = run("verify", tmp_path / "out", "--repair", "--root", builds / "root")
    assert repair.exit_code == 3 and "is joined from 2 builds" in repair.stderr


def test_repair_makes_only_what_is_broken_anew(builds, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(builds / "whole", copy)
    first, second, third = sorted(copy.glob("*.h5"))
    damaged = bytearray(second.read_bytes())
    damaged[-300] ^= 4
    second.write_bytes(damaged)
    third.write_bytes(third.read_bytes()[:-10])
    (copy / "shard-00009.h5").write_bytes(b"stray")
    before = first.stat().st_mtime_ns

    found = run("verify", copy)
    assert found.exit_code == 4
    assert [line.split(":")[0] for line in found.stderr.splitlines()[:3]] == [
        "bytes",
        "size",
        "extra",
    ]
    assert run("verify", copy, "--repair").exit_code == 2
    repaired = run("verify", copy, "--repair", "--root", builds / "root", "--workers", "1")
    assert repaired.exit_code == 0, repaired.output
    assert "shards written 2, kept 1" in repaired.stderr
    assert content(copy) == content(builds / "whole")
    assert first.stat().st_mtime_ns == before


def test_a_repair_from_another_source_is_refused(builds, tmp_path):
    copy, root = tmp_path / "copy", tmp_path / "root"
    shutil.copytree(builds / "whole", copy)
    shutil.copytree(builds / "root", root)
    next(copy.glob("*.h5")).write_bytes(b"")
    (root / "SAMM/006/006_1_1/006_00005.jpg").write_bytes(b"other")
    result = run("verify", copy, "--repair", "--root", root)
    assert result.exit_code == 3
    assert "the source files" in result.stderr


def test_export_writes_what_is_stored(builds, tmp_path):
    out = tmp_path / "export"
    result = run("export", builds / "whole", "--out", out)
    assert result.exit_code == 0, result.output
    manifest = read_manifest(builds / "whole")
    with (out / "clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == manifest.clips
    row = rows[0]
    assert (row["subject"], row["clip"], row["class_5"]) == ("006", "006_1_1", "anger")
    assert row["source_frames"] == "5 7"
    with h5py.File(builds / "whole" / manifest.videos[0].shard) as shard:
        frame, flow = shard["frames"][0, 1], shard["flow"][0]
        points = shard["landmarks"][0]
    folder = out / row["folder"]
    picture = cv2.imread(str(folder / "frame-1.png"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(picture, frame)
    np.testing.assert_array_equal(np.load(folder / "flow.npz")["flow"], flow)
    listed = np.loadtxt(folder / "landmarks.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(listed[:, 2:].reshape(points.shape), points, atol=1e-4)
    assert run("export", builds / "whole", "--out", out).exit_code == 3


@pytest.mark.filterwarnings("ignore")  # of the library
@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("beside", ["--croissant-only"]),
        ("some # where/deep %41/er", ["--croissant-only"]),
        ("link/there", ["--croissant-only"]),
        ("shards", ["--croissant-only"]),
        ("all", []),
    ],
)
def test_the_croissant_description_loads_from_where_it_lies(builds, tmp_path, place, options):
    import mlcroissant

    shards = shutil.copytree(builds / "whole", tmp_path / "shards")
    (tmp_path / "elsewhere/far").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere/far")
    out = tmp_path / place
    result = run("export", shards, "--out", out, *options)
    assert result.exit_code == 0, result.output
    document = json.loads((out / "croissant.json").read_text())
    manifest = read_manifest(shards)
    files = {one["@id"]: one for one in document["distribution"]}
    assert set(files) == {MANIFEST_NAME, *(shard.file for shard in manifest.shards)}
    for one in files.values():
        file = out / one["contentUrl"]
        assert hashlib.sha256(file.read_bytes()).hexdigest() == one["sha256"]
    records = list(mlcroissant.Dataset(out / "croissant.json").records("videos"))
    assert len(records) == len(manifest.videos)
    assert records[0]["videos/subject"] == b"006"


def test_doctor_says_what_is_wrong_and_how_to_put_it_right(tmp_path):
    good = run("doctor", "--out", tmp_path / "new")
    assert good.exit_code == 0, good.output
    assert "ok     TV-L1 of OpenCV" in good.stdout
    assert "the published file" in good.stdout
    bad = run("doctor", "--landmark-model", tmp_path / "none.dat")
    assert bad.exit_code == 3
    assert "WRONG  landmark model" in bad.stdout
    assert "cure: 'pip install face_recognition_models==0.3.0'" in bad.stdout
