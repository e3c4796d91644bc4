"""What the images of a release say, and what lies beside them, is in its index."""

import unicodedata

import cv2
import numpy as np

from mol_pipeline.databases.index_report import index_text
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import Clip, samm


def test_deep_images_and_a_contact_sheet_in_a_release(tmp_path):
    root = samm([Clip(6, "006_1_2", "Anger"), Clip(6, "006_1_3", "Anger")]).write(tmp_path)
    folder = next(root.rglob("006_1_2"))
    names = sorted(path.stem for path in folder.iterdir())
    for path in list(folder.iterdir()):
        path.unlink()
    for name in names:
        cv2.imwrite(str(folder / f"{name}.png"), np.full((9, 9), 4095, np.uint16))
    cv2.imwrite(str(folder / "montage_1.png"), np.zeros((9, 9), np.uint8))
    index = ADAPTERS["samm"].index(root)
    first, second = index.videos
    assert [name for _, name in first.frames] == [f"{name}.png" for name in names]
    assert any("montage_1.png" in one for one in first.remarks)
    assert any("images of 16 bits" in one for one in first.remarks)
    assert second.remarks == ()
    assert "what was done to clips:" in index_text(index.document())


def test_two_cameras_in_one_folder_of_a_release_reject_the_clip(tmp_path):
    release = samm([Clip(6, "006_1_2", "Anger"), Clip(6, "006_1_3", "Anger")])
    folder = next(iter(release.frames))
    names = release.frames[folder]
    release.frames[folder] = [f"{side}_{name}" for side in ("left", "right") for name in names]
    index = ADAPTERS["samm"].index(release.write(tmp_path))
    assert [video.clip for video in index.videos] == ["006_1_3"]
    (rejected,) = index.rejected
    assert rejected.code == "ambiguous-frames"
    assert "left_006" in rejected.message and "right_006" in rejected.message


def test_a_named_set_of_frames_is_found_in_either_form(tmp_path):
    root = samm([Clip(6, "006_1_2", "Anger")]).write(
        tmp_path, above=unicodedata.normalize("NFD", "Größe")
    )
    assert ADAPTERS["samm"].index(root, frames="Größe").videos
