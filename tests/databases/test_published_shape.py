"""Releases of the published size give the published counts, by rule."""

import json

import pytest
from click.testing import CliRunner

from mol_model.cli import main as moltrain
from mol_pipeline.cli import main as molprep
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.published import CASME2_2014, SAMM, SMIC_HS, counts, objective_classes
from tests.databases.releases import (
    Clip,
    Release,
    casme2,
    casme3,
    casme_sq,
    mmew,
    samm,
    samm_lv,
    smic,
    smic_e,
    write_table,
)


def published_samm():
    clips = [
        Clip(subject, f"{subject:03d}_{j + 1}_{i + 1}", word)
        for j, (subject, word, number) in enumerate(counts(SAMM))
        for i in range(number)
    ]
    typo = next(i for i, clip in enumerate(clips) if clip.subject == 32)
    clips[typo] = Clip(32, "032_3_1", clips[typo].emotion, 4896, 1930, 4960)
    typo = next(i for i, clip in enumerate(clips) if clip.subject == 28)
    clips[typo] = Clip(28, "028_4_1", clips[typo].emotion, 1100, 1143, 1134)
    return classed(clips, "samm")


def classed(clips, database):
    """The clips with objective classes as often as they are published."""
    for clip, figure in zip(clips, objective_classes(database), strict=True):
        clip.objective = figure
    return clips


def published_casme2(coding="20140508"):
    """The two disgust clips that MEGC 2019 leaves out are where they are in the real table."""
    clips = []
    for j, (subject, word, number) in enumerate(counts(CASME2_2014)):
        if coding == "20190701" and subject == 24 and word == "sadness":
            word = "surprise"
        clips += [Clip(subject, f"EP{j:02d}_{i + 1:02d}f", word) for i in range(number)]
    no_apex = next(i for i, c in enumerate(clips) if (c.subject, c.emotion) == (4, "disgust"))
    clips[no_apex] = Clip(4, "EP12_01f", "disgust", 261, "/", 321)
    on_onset = next(i for i, c in enumerate(clips) if (c.subject, c.emotion) == (5, "disgust"))
    clips[on_onset] = Clip(5, "EP09_05f", "disgust", 69, 69, 90)
    return classed(clips, "casme2")


def published_smic():
    codes = {"negative": "ne", "positive": "po", "surprise": "sur"}
    return [
        Clip(subject, f"s{subject}_{codes[word]}_{i + 1:02d}", word)
        for subject, word, number in counts(SMIC_HS)
        for i in range(number)
    ]


def index_json(tmp_path, release: Release, *arguments: str):
    root = release.write(tmp_path / "root")
    command = ["index", "--dataset", release.name, "--root", str(root), "--json", *arguments]
    result = CliRunner().invoke(molprep, command)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("mapping", "videos", "subjects"),
    [
        (None, 159, 29),
        ("5", 136, 27),
        ("3", 133, 28),
        ("megc2019", 133, 28),
        ("objective", 159, 29),
    ],
)
def test_samm(tmp_path, mapping, videos, subjects):
    found = index_json(tmp_path, samm(published_samm()), *(["--classes", mapping] * bool(mapping)))
    assert (found["videos"], found["subjects"]) == (videos, subjects)
    assert sum(found["by_class"].values()) == sum(found["by_subject"].values()) == videos
    assert found["found"] == 159
    assert {one["clip"] for one in found["corrections"]} == {"028_4_1", "032_3_1"}
    if mapping == "5":
        assert found["by_class"] == {
            "anger": 57,
            "happiness": 26,
            "contempt": 12,
            "surprise": 15,
            "others": 26,
        }


@pytest.mark.parametrize(
    ("coding", "mapping", "videos", "subjects"),
    [
        ("20140508", None, 255, 26),
        ("20140508", "5", 246, 26),
        ("20140508", "3", 147, 24),
        ("20140508", "megc2019", 145, 24),
        ("20140508", "release-3", 156, 25),
        ("20190701", "5", 249, 26),
    ],
)
def test_casme2(tmp_path, coding, mapping, videos, subjects):
    release = casme2(published_casme2(coding), coding=coding)
    found = index_json(tmp_path, release, *(["--classes", mapping] * bool(mapping)))
    assert (found["videos"], found["subjects"]) == (videos, subjects)
    assert [(one["subject"], one["clip"]) for one in found["corrections"]] == [("04", "EP12_01f")]
    assert not [check for check in found["counts"] if check["found"] != check["expected"]]


@pytest.mark.parametrize("classes", ["no", "column", "file"])
def test_complete_copies_of_casme2_with_and_without_objective_classes(tmp_path, classes):
    clips = published_casme2("20190701" if classes == "column" else "20140508")
    release = casme2(clips, coding="20190701" if classes == "column" else "20140508")
    if classes == "file":
        rows = [[clip.subject, clip.name, clip.objective] for clip in clips]
        header = ["Subject", "Filename", "Objective Class"]
        write_table(tmp_path / "root/CASME2-ObjectiveClasses.xlsx", {"Sheet1": [header, *rows]})
    mapping = [] if classes == "no" else ["--classes", "megc2018"]
    found = index_json(tmp_path, release, "--strict", *mapping)
    assert (found["videos"], found["found"]) == (255 if classes == "no" else 185, 255)
    told = [check["what"] for check in found["counts"]]
    assert ("videos in megc2018 classes" in told) == (classes != "no")
    if classes != "no":
        assert list(found["by_class"].values()) == [25, 15, 99, 26, 20]
    else:
        assert any("no objective classes in this copy" in note for note in found["notes"])


def test_a_complete_copy_of_samm_is_as_published(tmp_path):
    found = index_json(tmp_path, samm(published_samm()), "--strict", "--classes", "megc2018")
    assert list(found["by_class"].values()) == [24, 13, 20, 8, 3]


def test_smic(tmp_path):
    found = index_json(tmp_path, smic(published_smic()), "--strict", "--classes", "3")
    assert found["by_class"] == {"negative": 70, "positive": 51, "surprise": 43}
    assert (found["videos"], found["subjects"]) == (164, 16)


def test_casme3_with_its_impossible_rows(tmp_path):
    words = {
        "disgust": 250,
        "surprise": 187,
        "others": 158,
        "Others": 3,
        "fear": 86,
        "anger": 64,
        "sad": 57,
        "happy": 55,
    }
    people = [n for n in range(1, 92) if n != 40]
    clips = [
        Clip(people[i % 90], "abcd"[i % 4], word, 10 * i + 1, 10 * i + 3, 10 * i + 6)
        for i, word in enumerate(w for w, n in words.items() for _ in range(n))
    ]
    wrong = {
        20: Clip(149, "d", "", 112, 83, 130),
        21: Clip(216, "d", "", 3647, 2668, 2680, on_disk=range(2647, 2681)),
        22: Clip(40, "e", "", 1820, 1830, 0, on_disk=range(1820, 1846)),
        23: Clip(40, "e", "", 2380, 2390, 0, on_disk=range(2380, 2404)),
        24: Clip(214, "c", "", 21, 28, 3460, on_disk=range(21, 35)),
        25: Clip(216, "e", "", 0, 0, 16, on_disk=range(1, 17)),
    }
    for position, clip in wrong.items():
        clip.emotion = clips[position].emotion
        clips[position] = clip
    found = index_json(tmp_path, casme3(clips), "--strict")
    assert found["videos"] == 860
    assert not found["rejected"]
    assert found["by_class"]["others"] == 161
    offsets = {
        one["clip"]: one["key_frames"]["offset"]
        for one in found["clips"]
        if one["subject"] in {"spNO.40", "spNO.214"}
    }
    assert offsets == {"e_1820": 1845, "e_2380": 2403, "c_21": 34}
    assert len(found["corrections"]) == 7

    root = str(tmp_path / "root")
    command = ["index", "--dataset", "casme3", "--root", root, "--json", "--no-corrections"]
    plain = json.loads(CliRunner().invoke(molprep, command).stdout)
    assert not plain["corrections"]
    # Without them the possible rows are taken as written, the impossible ones are rejected, and so
    # are one whose interval is nearly empty and one that begins a frame before its folder; a wrong
    # apex is no reason to lose its row.
    codes = sorted(one["code"] for one in plain["rejected"])
    assert codes == ["ambiguous-numbers", *["impossible-row"] * 3, "missing-frames"]
    assert plain["videos"] == 855


@pytest.mark.parametrize(("mapping", "videos"), [("4", 860), ("3", 699), ("7", 860)])
def test_classes_of_casme3(tmp_path, mapping, videos):
    words = {
        "disgust": 250,
        "surprise": 187,
        "others": 161,
        "fear": 86,
        "anger": 64,
        "sad": 57,
        "happy": 55,
    }
    clips = [
        Clip(1, "a", word, 10 * i + 1, 10 * i + 2, 10 * i + 3)
        for i, word in enumerate(w for w, n in words.items() for _ in range(n))
    ]
    found = index_json(tmp_path, casme3(clips), "--classes", mapping)
    assert found["videos"] == videos


def test_mmew(tmp_path):
    words = {
        "disgust": 72,
        "surprise": 89,
        "happiness": 36,
        "fear": 16,
        "sadness": 13,
        "anger": 8,
        "others": 66,
    }
    listed = [word for word, n in words.items() for _ in range(n)]
    clips = [
        Clip(i % 30 + 1, f"S{i % 30 + 1:02d}-01-{i:03d}", word, 1, 2, 3)
        for i, word in enumerate(listed)
    ]
    # Wrong apex or offset: beyond the folder's frames, or in the wrong order.
    clips[33] = Clip(clips[33].subject, clips[33].name, listed[33], 1, 40, 60, on_disk=range(1, 37))
    clips[35] = Clip(clips[35].subject, clips[35].name, listed[35], 1, 9, 2, on_disk=range(1, 13))
    found = index_json(tmp_path, mmew(clips), "--strict")
    assert (found["videos"], found["by_class"]["others"]) == (300, 66)
    frames = {one["clip"]: one["key_frames"] for one in found["clips"]}
    assert (frames[clips[33].name]["apex"], frames[clips[33].name]["offset"]) == (None, 36)
    assert (frames[clips[35].name]["apex"], frames[clips[35].name]["offset"]) == (9, 12)
    assert any(clips[35].name in note for note in found["notes"])


def test_samm_long_videos(tmp_path):
    clips = [
        Clip(i % 30 + 6, f"{i % 30 + 6:03d}_{i % 7 + 1}_{i}", "", 10, 12, 14, kind=kind)
        for i, kind in enumerate(["macro"] * 343 + ["micro"] * 159)
    ]
    for clip in clips[:10]:  # from before the video
        clip.on_disk, clip.onset = range(1, 15), 0
    clips[11].on_disk, clips[11].offset = range(1, 15), 0
    clips[400] = Clip(32, "032_3_1", "", 40, -100, 60)
    for n, clip in enumerate(clips[20:202]):  # as in version 2: fractions, -1, apexes outside
        clip.on_disk = range(1, 30)
        clip.onset, clip.apex, clip.offset = [
            (10.4, 12, 14.3),
            (10, -1, 14),
            (10, 17, 14),
            (10.6, 9, 13.5),
        ][n % 4]
    found = index_json(tmp_path, samm_lv(clips), "--strict")
    assert found["by_expression"] == {"macro": 343, "micro": 159}
    assert not found["rejected"]
    assert {one["person"] for one in found["clips"]} == {f"samm/{i:03d}" for i in range(6, 36)}
    only = index_json(tmp_path, samm_lv(clips), "--expression", "micro")
    assert only["videos"] == 159


def test_casme_squared(tmp_path):
    clips = [
        Clip(
            15 + i % 22,
            f"{'anger1' if i % 2 else 'disgust1'}_{i}",
            "negative",
            10 * i + 1,
            10 * i + 3,
            10 * i + 5,
            kind=kind,
        )
        for i, kind in enumerate(["macro"] * 300 + ["micro"] * 57)
    ]
    clips[5].on_disk, clips[5].offset = range(51, 57), 0  # goes on: ends at its apex
    clips[7].apex = 0
    clips[9].on_disk, clips[9].onset = range(91, 96), 91.0
    found = index_json(tmp_path, casme_sq(clips), "--strict")
    assert found["by_expression"] == {"macro": 300, "micro": 57}
    assert found["subjects"] == 22
    frames = {one["clip"]: one["key_frames"] for one in found["clips"]}
    assert (frames["anger1_5"]["offset"], frames["anger1_5"]["offset_source"]) == (53, "apex")
    assert frames["anger1_7"]["apex"] is None
    under_four = index_json(tmp_path, casme_sq(clips), "--classes", "4")
    assert under_four["videos"] == 57


def folds(*arguments):
    result = CliRunner().invoke(moltrain, ["folds", "--json", *map(str, arguments)])
    return result.exit_code, json.loads(result.stdout) if result.stdout else None, result.stderr


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    """Paths of the indexes of the three databases of MEGC 2019."""
    base = tmp_path_factory.mktemp("megc")
    paths = {}
    for release in (
        samm(published_samm()),
        casme2(published_casme2()),
        casme2(published_casme2("20190701"), coding="20190701"),
        smic(published_smic()),
    ):
        name = release.name + ("-2019" if "2019" in release.table else "")
        folder = base / name
        folder.mkdir()
        paths[name] = folder / "index.json"
        paths[name].write_text(json.dumps(index_json(folder, release)))
    return paths


@pytest.mark.parametrize("classes", [[], ["--classes", "3"], ["--classes", "megc2019"]])
def test_the_composite_of_megc_2019(indexes, classes):
    three = [a for name in ("samm", "casme2", "smic-hs") for a in ("--index", indexes[name])]
    code, found, stderr = folds("--protocol", "composite", *classes, *three)
    assert code == 0, stderr
    assert stderr == ""
    assert (found["videos"], found["subjects"], len(found["folds"])) == (442, 68, 68)
    assert found["by_class"] == {"negative": 250, "positive": 109, "surprise": 83}
    assert found["by_database"] == {
        "casme2": {"negative": 88, "positive": 32, "surprise": 25},
        "samm": {"negative": 92, "positive": 26, "surprise": 15},
        "smic-hs": {"negative": 70, "positive": 51, "surprise": 43},
    }
    tested = [video for fold in found["folds"] for video in fold["test"]]
    assert len(tested) == len(set(tested)) == 442
    for fold in found["folds"]:
        assert len(fold["test_subjects"]) == 1
        assert len(fold["train"]) + len(fold["test"]) == 442


def test_the_composite_by_its_document(indexes):
    paths = [a for name in ("samm", "casme2", "smic-hs") for a in ("--index", indexes[name])]
    code, found, _ = folds("--protocol", "manifests/protocols/megc2019-composite.json", *paths)
    assert (code, found["videos"], len(found["folds"])) == (0, 442, 68)
    code, _, stderr = folds("--protocol", "manifests/protocols/samm-to-smic.json", *paths)
    assert code == 3
    assert "the protocol is about samm, smic-hs; given are casme2, samm, smic-hs" in stderr
    assert folds("--protocol", "nowhere.json", *paths)[0] == 3
    assert folds("--protocol", "nonsense", *paths)[0] == 2


def test_the_composite_of_megc_2018(indexes):
    both = [a for name in ("samm", "casme2-2019") for a in ("--index", indexes[name])]
    code, found, stderr = folds("--protocol", "composite", "--classes", "megc2018", *both)
    assert code == 0, stderr
    assert found["videos"] == 253


def test_a_composite_from_the_other_coding_is_made_and_warned_of(indexes):
    three = [a for name in ("samm", "casme2-2019", "smic-hs") for a in ("--index", indexes[name])]
    code, found, stderr = folds("--protocol", "composite", *three)
    assert code == 0
    assert found["videos"] == 445
    assert "warning: casme2" in stderr


def test_cross_database_from_two_to_smic(indexes):
    three = [a for name in ("samm", "casme2", "smic-hs") for a in ("--index", indexes[name])]
    code, found, _ = folds("--protocol", "cross", "--classes", "3", "--test", "smic-hs", *three)
    assert code == 0
    sizes = {fold["name"]: (len(fold["train"]), len(fold["test"])) for fold in found["folds"]}
    assert sizes == {"casme2-to-smic-hs": (147, 164), "samm-to-smic-hs": (133, 164)}
    code, found, _ = folds(
        *("--protocol", "cross", "--classes", "3", "--train", "samm", "--train", "casme2"),
        *("--test", "smic-hs", *three),
    )
    assert [len(fold["train"]) for fold in found["folds"]] == [280]
    assert len(folds("--protocol", "cross", "--classes", "3", *three)[1]["folds"]) == 6


def test_leave_one_subject_out_has_one_fold_per_subject_that_takes_part(indexes):
    found = folds("--protocol", "loso", "--classes", "5", "--index", indexes["samm"])[1]
    assert len(found["folds"]) == 27
    assert all(fold["test"] and fold["train"] for fold in found["folds"])
    assert "samm-024" not in {fold["name"] for fold in found["folds"]}


def test_folds_for_people(indexes):
    arguments = ["folds", "--classes", "5", "--index", str(indexes["samm"])]
    result = CliRunner().invoke(moltrain, arguments)
    assert result.exit_code == 0
    assert "136 videos of 27 people, 27 folds" in result.stdout


def test_a_complete_copy_of_smic_e_has_its_expressions(tmp_path):
    """161 of SMIC's 164 clips have a long video, and five of them a second expression."""
    twice = {"s20_ne_06", "s20_ne_09", "s20_sur_02", "s18_ne_01", "s18_sur_03"}
    rows = []
    for k, clip in enumerate(published_smic()):
        first = 1000 * k + 1
        row = {"Subject": clip.subject, "Filename": clip.name, "Emotion": clip.emotion}
        row |= {"FirstF": first, "LastF": first + 19, "OnsetF": first + 2, "OffsetF": first + 5}
        if clip.name in twice:
            row |= {"Onset2F": first + 9, "Offset2F": first + 12}
        if clip.name not in {"s1_ne_02", "s2_sur_05", "s3_ne_20"}:
            rows.append(row)
    found = index_json(tmp_path, smic_e(rows), "--strict", "--classes", "3")
    assert (found["videos"], found["subjects"]) == (166, 16)
    assert found["by_class"] == {"negative": 71, "positive": 51, "surprise": 44}


def test_strict_refuses_other_counts_than_the_published(tmp_path):
    root = samm(published_samm()[:-1]).write(tmp_path)
    command = ["index", "--dataset", "samm", "--root", str(root)]
    relaxed = CliRunner().invoke(molprep, command)
    assert relaxed.exit_code == 0
    assert "warning: 158 of 159 clips are here (29 of 29 subjects)" in relaxed.stderr
    strict = CliRunner().invoke(molprep, [*command, "--strict"])
    assert strict.exit_code == 5
    assert "counts are not as published" in strict.stderr


def test_every_adapter_is_exercised_at_least_once():
    assert set(ADAPTERS) >= {"samm", "casme2", "smic-hs", "casme3", "mmew", "samm-lv", "casme-sq"}


def test_the_index_can_be_written_to_a_file_and_planned_from(tmp_path):
    root = samm(published_samm()).write(tmp_path / "root")
    out = tmp_path / "samm.json"
    command = ["index", "--dataset", "samm", "--root", str(root), "--classes", "5"]
    result = CliRunner().invoke(molprep, [*command, "--out", str(out)])
    assert result.exit_code == 0
    assert "136 clips that take part under mapping 5, 27 subjects" in result.stdout
    code, found, _ = folds("--protocol", "k-fold", "--k", 5, "--classes", 5, "--index", out)
    assert (code, len(found["folds"]), found["videos"]) == (0, 5, 136)
    refused = CliRunner().invoke(molprep, [*command, "--out", str(tmp_path / "no" / "where")])
    assert refused.exit_code == 3
    damaged = tmp_path / "damaged.json"
    damaged.write_text(out.read_text()[:500])
    code, _, stderr = folds("--index", damaged)
    assert code == 4
    assert "is it the output of 'molprep index --json'" in stderr
    assert folds("--index", out, "--index", out)[0] == 3
    assert folds()[0] == 2
