"""The page of a database: everything odd is on it, names are data, example frames are shown."""

import base64
import html
import re

import cv2
import numpy as np

from mol_pipeline.cli import main
from mol_pipeline.databases.registry import ADAPTERS
from tests.databases.releases import Clip, samm
from tests.in_process import invoke


def written(tmp_path):
    clips = [
        Clip(40 + n // 2, f"{40 + n // 2:03d}_1_{n}", word, 5, 6, 8)
        for n, word in enumerate(["Anger", "Anger", "Anger", "Happiness", "<b>&Fear"])
    ]
    clips[1].apex = 99
    clips.append(Clip(46, "046_1_1", "Anger", 11, 12, 20, on_disk=[11, 13]))
    clips.append(Clip(47, "047_1_1", "Anger", 11, 12, 20, on_disk=[11, 12, 13, 14, 15, 20]))
    root = samm(clips).write(tmp_path / "root")
    for path in root.rglob("*.jpg"):
        number = int(path.stem.split("_")[1])
        cv2.imwrite(str(path), np.full((300, 200, 3), (10 * number, 0, 255), np.uint8))
    return root


def test_the_page_says_what_index_says(tmp_path):
    root = written(tmp_path)
    page = tmp_path / "page.html"
    result = invoke(main, "index", "--dataset", "samm", "--root", root, "--html", page)
    assert result.exit_code == 0 and f"page written to {page}" in result.stderr
    content = page.read_text()
    plain = html.unescape(re.sub(r"<[^>]*>", " ", content))
    document = ADAPTERS["samm"].index(root).document()
    assert "<b>&Fear" not in content and "&lt;b&gt;&amp;fear" in content
    for text in (
        *document.notes,
        *(one.message for one in document.rejected),
        *(one.what for one in document.counts),
        *document.missing_frames,
        *document.by_subject,
        "apex 99 lies outside onset 5 .. offset 8: left absent",
    ):
        assert text in plain, text
    assert 'class="wrong"' in content
    assert "http" not in content and "<img" not in content


def test_examples_are_of_each_class_and_of_different_people(tmp_path):
    root = written(tmp_path)
    page = tmp_path / "page.html"
    command = ["index", "--dataset", "samm", "--root", root]
    assert invoke(main, *command, "--examples", 2).exit_code == 2
    result = invoke(main, *command, "--html", page, "--examples", 2, "--classes", "3")
    assert result.exit_code == 0, result.output
    content = page.read_text()
    shown = re.findall(r"<figcaption>(.*?)</figcaption>", content)
    assert shown == ["040/040_1_0, frame 6", "041/041_1_2, frame 6", "041/041_1_3, frame 6"]
    pictures = re.findall(r"base64,([^\"]+)", content)
    first = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0]), np.uint8), cv2.IMREAD_COLOR)
    assert max(first.shape) == 160
    assert abs(first[80, 50].astype(int) - (60, 0, 255)).max() < 12


def test_an_example_that_cannot_be_read_is_said(tmp_path):
    root = samm([Clip(40, "040_1_1", "Anger")]).write(tmp_path / "root")
    page = tmp_path / "page.html"
    command = ["index", "--dataset", "samm", "--root", root, "--html", page, "--examples", 1]
    assert invoke(main, *command).exit_code == 0
    assert "is not an image" in page.read_text() and "<img" not in page.read_text()
