"""Files that do not end, do not fit or do not mean what they say."""

import json
import os
import socket
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.documents import (
    Unreadable,
    parse_json,
    parse_yaml,
    read_document,
    read_yaml,
    shortened,
)
from mol_pipeline.contract.errors import ConfigError, SourceError
from mol_pipeline.contract.image_header import check_image_size, image_size
from mol_pipeline.contract.settings import load_settings
from mol_pipeline.databases import tables
from mol_pipeline.databases.tables import read_sheets, read_table
from tests.databases.releases import write_table

DEEP = 100_000


def alias_bomb(levels=9, width=9):
    refers = [", ".join([f"*a{level}"] * width) for level in range(levels)]
    lines = [f"a{level}: &a{level} [{words}]" for level, words in enumerate(refers, start=1)]
    return "\n".join(["a0: &a0 [x]", *lines])


def merge_bomb(levels=9, width=9):
    refers = [", ".join([f"*a{level}"] * width) for level in range(levels)]
    lines = [f"a{level}: &a{level} {{<<: [{words}]}}" for level, words in enumerate(refers, 1)]
    return "\n".join(["a0: &a0 {k: 1}", *lines])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (alias_bomb(), "more than 100,000 values"),
        (merge_bomb(), "more than 100,000 values"),
        ("&a [*a]", "refers to itself"),
        ("[" * DEEP, "levels"),
        ("- " * 500 + "x", "levels"),
        ("a: " + "9" * 5000, "no YAML"),
        ("a: 2001-99-99", "no YAML"),
        ("a: !!int ''", "no YAML"),
        ("a: !!bool maybe", "no YAML"),
        ("a: !!timestamp 12", "no YAML"),
        ("a: !!python/object/apply:os.system [true]", "no YAML"),
        ("? [1]\n: 2", "no YAML"),
        ("a: \x07", "no YAML"),
    ],
)
def test_yaml_that_is_more_than_it_seems(tmp_path, text, words):
    with pytest.raises(Unreadable, match=words) as caught:
        parse_yaml(text)
    assert len(str(caught.value)) < 300
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"settings\.yaml"):
        load_settings(BuildConfig, path)


def test_anchors_that_people_write_are_read():
    assert parse_yaml("a: &x {k: 1}\nb: {<<: *x, l: 2}\nc: [*x, *x]") == {
        "a": {"k": 1},
        "b": {"k": 1, "l": 2},
        "c": [{"k": 1}, {"k": 1}],
    }


@pytest.mark.parametrize("text", ["[" * DEEP, "9" * 5000, "{", "\xff", '"' + "\\u12"])
def test_json_that_is_none(text):
    with pytest.raises(Unreadable) as caught:
        parse_json(text)
    assert len(str(caught.value)) < 300


def special(tmp_path, kind):
    path = tmp_path / f"table{kind}.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        short = tmp_path / "s"
        server = socket.socket(socket.AF_UNIX)
        os.chdir(tmp_path)  # the path of a socket is short
        server.bind(short.name)
        server.close()
        short.rename(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_does_not_end_is_not_opened(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = special(tmp_path, kind)
    with pytest.raises(Unreadable, match=f"is a {kind}"):
        read_document(path)
    with pytest.raises(Unreadable, match=f"is a {kind}"):
        read_yaml(path)
    with pytest.raises(SourceError, match=f"is a {kind}"):
        read_sheets(path)


def png(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(header))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_the_size_is_that_of_the_decoder(suffix):
    import cv2
    import numpy as np

    _, content = cv2.imencode(suffix, np.zeros((37, 53), np.uint8))
    assert image_size(content.tobytes()) == (53, 37)
    for cut in range(200):
        image_size(content.tobytes()[:cut])  # raises nothing


def test_an_image_that_is_too_large_is_not_decoded():
    with pytest.raises(ValueError, match="30000 x 30000 pixels, at most 64,000,000 are read"):
        check_image_size(png(30_000, 30_000))
    check_image_size(png(7680, 4320))
    check_image_size(b"no image")


def test_a_cell_in_the_last_corner_is_refused(tmp_path):
    path = tmp_path / "corner.xlsx"
    write_table(path, {"one": [["Subject"]]})
    import xlsxwriter

    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "Subject")
        sheet.write(1_048_575, 16_383, "x")
    with pytest.raises(SourceError, match="span 17,179,869,184 cells, at most 5,000,000"):
        read_sheets(path)


def test_many_empty_rows_cost_no_thought(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("Subject,Onset\n1,2\n" + "\n" * 100_000 + ",\n" * 100_000)
    looked_at = []
    cell = tables._cell
    monkeypatch.setattr(tables, "_cell", lambda *at: looked_at.append(at) or cell(*at))
    rows = list(read_table(path, {"subject": ("Subject",), "onset": ("Onset",)}))
    assert len(rows) == 1
    assert 0 < len(looked_at) < 100


def test_foreign_text_is_cut_in_a_message():
    assert len(shortened("x" * 10_000)) < 250
    assert shortened("a\n  b") == "a b"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_frame_or_film_that_does_not_end_is_not_opened(tmp_path, kind, monkeypatch):
    from mol_pipeline.reading.films import probe_film
    from mol_pipeline.reading.frames import read_image

    monkeypatch.chdir(tmp_path)
    path = special(tmp_path, kind)
    for read in (read_image, probe_film):
        with pytest.raises(ValueError, match=f"is a {kind}"):
            read(path)


def test_a_frame_that_says_too_much_is_not_decoded(tmp_path):
    from mol_pipeline.reading.frames import read_image

    path = tmp_path / "001.png"
    path.write_bytes(png(30_000, 30_000))
    with pytest.raises(ValueError, match="30000 x 30000 pixels"):
        read_image(path)


def test_a_pickle_is_refused_without_advice(tmp_path):
    import torch

    from mol_model.networks.mol.release.weights import read_release
    from mol_pipeline.contract.errors import TrainingError

    class Harm:
        def __reduce__(self):
            return print, ("harm",)

    for name, value in {"code": Harm(), "list": [1], "keys": {1: torch.ones(2)}}.items():
        torch.save(value, tmp_path / f"{name}.pt")
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "empty.pt").touch()
    os.mkfifo(tmp_path / "pipe.pt")
    for path in sorted(tmp_path.glob("*.pt")):
        with pytest.raises(TrainingError) as caught:
            read_release(path)
        text = str(caught.value)
        assert str(path) in text and len(text) < 400 + len(str(path))
        for advice in ("weights_only", "allowlist", "safe_globals", "trust"):
            assert advice not in text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_is_the_same_number_however_json_or_python_write_it(number):
    """`1e-05` and `5e+30` are numbers, as in JSON; YAML 1.1 alone would take them for texts."""
    for text in (json.dumps(number), repr(number), f"{number:g}", f"{number:e}"):
        assert parse_yaml(text) == json.loads(text), text
        assert isinstance(parse_yaml(text), int | float)


@pytest.mark.parametrize("text", ["e5", "1e", "1e5x", "v1e5", "0x1", "1e-4 s"])
def test_what_only_looks_like_a_number_stays_a_text(text):
    assert isinstance(parse_yaml(text), str) == (text != "0x1")
