"""Own videos with something to say go the whole way: what was done to them is in every report."""

import csv

import cv2
import numpy as np
from click.testing import CliRunner

from mol_pipeline.cli import main
from mol_pipeline.contract.manifest_file import read_manifest
from tests.fakes import face_photograph
from tests.sources import write_film


def write_own(root):
    """A film with unequal steps, 12 bits in 16, a damaged JPEG, and a contact sheet."""
    face = face_photograph()[20:260, 100:340]
    drawn = [np.roll(face, k % 3, axis=1) for k in range(8)]
    write_film(root / "uneven.mp4", drawn, stamps=[0, 40, 80, 120, 280, 440, 600, 760])
    for name in ("deep", "spoiled", "sheet"):
        (root / name).mkdir()
    for k, picture in enumerate(drawn):
        cv2.imwrite(str(root / "deep" / f"{k}.png"), picture.astype(np.uint16) << 4)
        cv2.imwrite(str(root / "spoiled" / f"{k}.jpg"), picture)
        cv2.imwrite(str(root / "sheet" / f"{k}.jpg"), picture)
    cv2.imwrite(str(root / "sheet" / "contact_sheet.jpg"), drawn[0])
    for k in range(8):
        path = root / "spoiled" / f"{k}.jpg"
        path.write_bytes(path.read_bytes()[:-400] + b"\xff\xd9")
    rows = [["path", "subject", "label"]]
    rows += [[name, "anna", "x"] for name in ("uneven.mp4", "deep", "spoiled", "sheet")]
    with (root / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_everything_that_was_done_is_said_in_index_and_inspect(tmp_path):
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    write_own(root)
    index = run("index", "--dataset", "custom", "--root", root).stdout
    assert "its time steps vary, 40 to 160 ms: sampled evenly in time: 1 (anna/uneven)" in index
    assert "images of 16 bits: brought to 8 by the bits that the video uses: 1 (anna/deep)" in index
    assert "left out, as named otherwise than the frames: contact_sheet.jpg" in index
    few = ("--set", "sampling.frames=2", "--set", "sampling.phases=centre", "--workers", "1")
    build = run("build", "--dataset", "custom", "--root", root, "--out", out, *few)
    assert build.exit_code == 6, build.output
    assert "damaged-frame: spoiled: frame" in build.stderr
    inspect = run("inspect", out).stdout
    assert "12 of 16 bits are in use; all frames brought to 8 alike: 1 (anna/deep)" in inspect
    assert "sampled evenly in time: 1 (anna/uneven)" in inspect
    assert "rejected: 1 (damaged-frame 1)" in inspect
    videos = {video.clip: video for video in read_manifest(out).videos}
    times = videos["uneven"].frame_times
    assert len(times) == 2
    assert 0.28 <= times[1] - times[0] <= 0.48  # half of 0.76 s, by frames 160 ms apart
    assert videos["deep"].frame_times == ()
