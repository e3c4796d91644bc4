"""Stored clips in the forms of others: MEGC's questions, Hugging Face's folders of films."""

import csv
import json
from functools import partial

import av
import h5py
import numpy as np
import pytest

from mol_pipeline.cli import main
from mol_pipeline.contract.action_units import CD6ME_UNITS, UNIT_NAMES
from mol_pipeline.contract.labels import WITHOUT_TRUTH
from mol_pipeline.contract.manifest_file import read_manifest
from mol_pipeline.databases.names import DATABASES
from tests.in_process import invoke
from tests.model.shard_fixture import write_shards

run = partial(invoke, main)
UNITS = {"Anger": "4+L7", "Happiness": "R12", "Contempt": "(R6 or R12)+R15", "Surprise": "1+2?"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    directory = tmp_path_factory.mktemp("shards")
    return write_shards(directory, subjects=2, action_units=UNITS, synthetic=False)


def questions(shards, out):
    result = run("export", shards, "--format", "megc-vqa", "--out", out)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in (out / "megc-vqa.jsonl").read_text().splitlines()], result


def of_clip(lines, name):
    return [(one["question"], one["answer"]) for one in lines if one["image_id"] == name]


def test_questions_have_the_challenges_form(shards, tmp_path):
    lines, result = questions(shards, tmp_path / "out")
    assert list(lines[0]) == [
        *("id", "dataset", "image_id", "subject", "filename", "question", "answer")
    ]
    assert [one["id"] for one in lines[:2]] == ["samm_006_1_0_1", "samm_006_1_0_2"]
    asked = of_clip(lines, "006_1_0")
    assert asked[:4] == [
        ("What is the coarse expression class?", "negative"),
        ("What is the fine-grained expression class?", "anger"),
        ("What are the action units?", "brow lowerer, lid tightener"),
        ("Is the action unit lid tightener located on the left or right face?", "left"),
    ]
    (yes, no) = asked[4:6]
    assert yes[1] == "yes" and any(UNIT_NAMES[unit] in yes[0] for unit in (4, 7))
    assert no[1] == "no" and not any(UNIT_NAMES[unit] in no[0] for unit in (4, 7))
    assert asked[6] == (
        "What are the action units present, and based on them, what is the fine-grained "
        "expression and the coarse expression class?",
        "The action units present are: brow lowerer, lid tightener. Therefore, the fine-grained "
        "expression class is anger, and the coarse expression class is negative.",
    )
    (single,) = [a for q, a in of_clip(lines, "006_1_1") if q == "What is the action unit?"]
    assert single == "lip corner puller"
    assert "answers are known: coarse of 8, fine of 10, action units of 4" in result.stdout
    again, _ = questions(shards, tmp_path / "again")
    assert again == lines


def test_what_the_table_does_not_say_is_not_asked(shards, tmp_path):
    lines, _ = questions(shards, tmp_path / "out")
    choice = of_clip(lines, "006_1_2")  # 15 is certain, 6 and 12 are a choice
    assert [q for q, _ in choice if q.startswith("What")] == [
        "What is the coarse expression class?",
        "What is the fine-grained expression class?",
    ]
    text = " ".join(q for q, _ in choice)
    assert UNIT_NAMES[15] in text and UNIT_NAMES[6] not in text and UNIT_NAMES[12] not in text
    other = of_clip(lines, "006_1_4")  # no valence, no units
    assert other == [("What is the fine-grained expression class?", "other")]


def test_a_database_of_three_classes_has_no_fine_one(tmp_path):
    shards = write_shards(tmp_path / "shards", subjects=1, database="smic-hs")
    lines, _ = questions(shards, tmp_path / "out")
    assert {one["question"] for one in lines} == {"What is the coarse expression class?"}
    assert all(one["synthetic"] for one in lines)


@pytest.mark.parametrize(
    "database", sorted(set(DATABASES) - {"custom", "affwild2", *WITHOUT_TRUTH})
)
def test_every_database_can_be_asked_about(tmp_path, database):
    shards = write_shards(
        tmp_path / "shards", subjects=2, database=database, phases=1, frames=2,
        words=("surprise", "others"), action_units={"surprise": "1+L2"},
    )  # fmt: skip
    lines, _ = questions(shards, tmp_path / "out")
    assert len({one["id"] for one in lines}) == len(lines)
    assert any(one["answer"] == "inner brow raiser, outer brow raiser" for one in lines)
    if database == "casme2":
        assert lines[0]["subject"].startswith("sub")
        assert lines[0]["image_id"] == f"{lines[0]['subject']}_{lines[0]['filename']}"


def read_table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def read_film(path):
    with av.open(str(path)) as film:
        return np.stack([one.to_ndarray(format="gray") for one in film.decode(video=0)])


def test_a_video_folder_holds_every_bit_and_a_table(shards, tmp_path):
    out = tmp_path / "out"
    result = run("export", shards, "--format", "videofolder", "--out", out, "--test", "007")
    assert result.exit_code == 0, result.output
    manifest = read_manifest(shards)
    rows = {split: read_table(out / split / "metadata.csv") for split in ("train", "test")}
    assert {row["subject"] for row in rows["train"]} == {"006"}
    assert {row["subject"] for row in rows["test"]} == {"007"}
    assert sum(map(len, rows.values())) == manifest.clips
    films = sorted(path.relative_to(out / "train").as_posix() for path in out.glob("train/*/*"))
    assert films == sorted(row["file_name"] for row in rows["train"])
    first = rows["train"][0]
    assert first["file_name"] == "anger/samm-006-006_1_0-00.mkv"
    assert (first["label"], first["class_3"], first["raw_label"]) == ("anger", "negative", "Anger")
    assert [first[f"au{unit}"] for unit in CD6ME_UNITS[:3]] == ["0", "0", "1"]
    choice = next(row for row in rows["train"] if row["clip"] == "006_1_2")
    assert (choice["au6"], choice["au12"], choice["au15"]) == ("", "", "1")
    with h5py.File(shards / "shard-00000.h5") as shard:
        stored = shard["frames"][:2]
    for row, frames in zip(rows["train"][:2], stored, strict=True):
        np.testing.assert_array_equal(read_film(out / "train" / row["file_name"]), frames)
    run("export", shards, "--format", "videofolder", "--out", tmp_path / "b", "--test", "007")
    for path in out.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(out)).read_bytes()


def test_a_clip_of_no_class_is_kept(shards, tmp_path):
    options = ["--format", "videofolder", "--classes", "3"]
    assert run("export", shards, *options, "--out", tmp_path / "out").exit_code == 0
    rows = read_table(tmp_path / "out/train/metadata.csv")
    (other,) = {(row["label"], row["file_name"][:8]) for row in rows if row["raw_label"] == "Other"}
    assert other == ("", "no-class")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--format", "videofolder", "--classes", "9"], 3, "no such mapping; there are 5, 3"),
        (["--format", "videofolder", "--test", "099"], 3, "--test 099: no such subject"),
        (["--format", "videofolder", "--test", "006", "--test", "007"], 3, "names everybody"),
        (["--format", "megc-vqa", "--classes", "3"], 2, "go with --format videofolder"),
        (["--format", "megc-vqa", "--croissant-only"], 2, "goes with --format files"),
        (["--format", "tfds"], 2, "Invalid value"),
    ],
)
def test_options_that_do_not_fit_are_refused(shards, tmp_path, options, code, words):
    result = run("export", shards, "--out", tmp_path / "out", *options)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    (tmp_path / "used").mkdir()
    (tmp_path / "used/x").touch()
    used = run("export", shards, "--out", tmp_path / "used", "--format", "megc-vqa")
    assert used.exit_code == 3 and "already in use" in used.stderr
