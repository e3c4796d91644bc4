"""No document leads out of its own directory."""

import os
from pathlib import Path

import pytest

from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import is_plain_file, path_beside

OUTSIDE = [
    *("", ".", "..", "../x.h5", "/etc/passwd", "a/../../b.h5", "a/b.h5", "./x", "x/"),
    *("..\\b.h5", "C:x.h5", "C:\\x.h5", "\\\\host\\share", "x:stream", "\0", "a\nb", "a\x1b[2J"),
    *("*", "x?", "//host/x", "\u202ex"),
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_in_a_document_leads_nowhere_else(name):
    with pytest.raises(ManifestError, match="nothing elsewhere is read or written"):
        path_beside(Path("/data/run/run.json"), name)


@pytest.mark.parametrize("name", ["shard-00000.h5", "006", "samm-006", "Ü 1", "a.b", "...", "-x"])
def test_a_plain_name_lies_beside_the_document(name):
    assert path_beside(Path("/data/run/run.json"), name) == Path("/data/run") / name


def test_links_folders_and_pipes_are_no_plain_files(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    plain = [one.name for one in sorted(tmp_path.iterdir()) if is_plain_file(one)]
    assert plain == ["file"]
    assert not is_plain_file(tmp_path)
    assert not is_plain_file(tmp_path / "absent")
