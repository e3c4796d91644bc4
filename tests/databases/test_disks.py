"""A disk that does not answer while a database is indexed: nothing is left out without a word."""

import errno
import os

import pytest

from mol_pipeline.contract.errors import SourceError
from mol_pipeline.databases.adapters import custom
from mol_pipeline.databases.adapters.custom import Custom
from mol_pipeline.databases.adapters.samm import Samm
from mol_pipeline.reading import source_faults
from tests.fakes import FakeClip, write_samm_tree

CLIPS = [FakeClip(f"{s:03d}_1_1", 1, 2, 3) for s in range(6, 9)]


def failing_scandir(monkeypatch, name, number):
    real = os.scandir

    def scandir(path="."):
        if str(path).endswith(name):
            raise OSError(number, os.strerror(number), str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def test_a_folder_that_the_disk_does_not_show_ends_the_index(tmp_path, monkeypatch):
    root = write_samm_tree(tmp_path, CLIPS)
    failing_scandir(monkeypatch, "/007", errno.EIO)
    with pytest.raises(SourceError, match=r"007: the disk does not show this folder"):
        Samm().index(root)


def test_a_folder_that_is_closed_to_us_is_said(tmp_path, monkeypatch):
    root = write_samm_tree(tmp_path, CLIPS)
    failing_scandir(monkeypatch, "/007", errno.EACCES)
    index = Samm().index(root)
    assert [video.clip for video in index.videos] == ["006_1_1", "008_1_1"]
    assert "SAMM/007: no permission to look into this folder; it is left out" in index.notes


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setattr(source_faults.time, "sleep", lambda seconds: None)
    write_samm_tree(tmp_path, CLIPS)
    rows = [f"SAMM/{clip.subject}/{clip.clip},{clip.subject},anger" for clip in CLIPS]
    (tmp_path / "list.csv").write_text("\n".join(["path,subject,label", *rows]))
    return tmp_path


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize("lasts", [False, True])
def test_an_own_video_that_the_disk_does_not_give(own, monkeypatch, number, lasts):
    expected = Custom().index(own).videos
    left = [10**6 if lasts else 2]
    real_open, real_ask = custom.open_source, source_faults._ask

    def stumbles(work):
        def call(path):
            if "007" in str(path) and left[0]:
                left[0] -= 1
                raise OSError(number, os.strerror(number), str(path))
            return work(path)

        return call

    monkeypatch.setattr(custom, "open_source", stumbles(real_open))
    monkeypatch.setattr(source_faults, "_ask", stumbles(real_ask))
    if lasts:
        with pytest.raises(SourceError, match=r"007_1_1: .*see to it and run again"):
            Custom().index(own)
    else:
        assert Custom().index(own).videos == expected
