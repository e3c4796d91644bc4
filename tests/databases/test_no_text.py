"""Names and cells that are no text: named, and never the end of a build."""

import json
import os

import pytest

from mol_pipeline.contract.files import canonical_json, legible
from mol_pipeline.contract.manifest import RejectedVideo
from mol_pipeline.databases.adapter import IndexRequest
from mol_pipeline.databases.adapters.custom import Custom
from mol_pipeline.databases.annotated import AnnotatedClip
from mol_pipeline.databases.builder import IndexBuilder

STRANGE = os.fsdecode(b"caf\xe9")
"""A name from an archive of another encoding: not UTF-8."""


@pytest.fixture
def root(tmp_path):
    for folder, prefix in (("good", ""), ("frames", STRANGE), (STRANGE, "")):
        (tmp_path / folder).mkdir()
        for number in range(2):
            (tmp_path / folder / f"{prefix}{number:03d}.png").touch()
    (tmp_path / "list.csv").write_text("path,subject,label\ngood,a,x\nframes,b,y\n")
    return tmp_path


def test_files_with_such_names_are_indexed_and_have_a_fingerprint(root):
    index = Custom().index(root)
    assert [video.clip for video in index.videos] == ["good", "frames"]
    before = index.fingerprint()
    assert before == Custom().index(root).fingerprint()
    (root / "frames" / f"{STRANGE}000.png").write_bytes(b"longer")
    assert Custom().index(root).fingerprint() != before


@pytest.mark.parametrize("text", [STRANGE, "a\0b"])
@pytest.mark.parametrize("field", ["subject", "clip", "raw_label"])
def test_a_clip_with_such_a_name_is_rejected_by_it(root, text, field):
    builder = IndexBuilder("custom", IndexRequest(root))
    words = {"subject": "a", "clip": "b", "raw_label": "c", field: text}
    clip = AnnotatedClip(**words, where="row 7", whole_clip=True)
    assert builder.check(clip) is None
    (rejected,) = builder._rejected
    assert rejected.code == "impossible-row" and "row 7" in rejected.message
    assert RejectedVideo.model_validate_json(canonical_json(rejected.model_dump())) == rejected
    assert legible(text) in {rejected.subject, rejected.clip, legible(text)}


@pytest.mark.parametrize("text", [STRANGE, "a\0b", "ü", "\U0001f600"])
def test_documents_hold_every_name(text):
    assert json.loads(canonical_json({"name": text})) == {"name": text}
    assert (legible(text) == text) == (text in {"ü", "\U0001f600"})
