"""A damaged frame is named, and all that was made from it; a whole one never is."""

import csv

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_pipeline.config import BuildConfig, ReadingConfig
from mol_pipeline.contract.rejections import Rejection
from mol_pipeline.databases.adapters.custom import Custom
from mol_pipeline.reading import jpeg_stream
from mol_pipeline.reading.films import FilmLog, probe_film, read_video_frames
from mol_pipeline.reading.frames import read_grey, read_image
from mol_pipeline.reading.image_damage import image_damage
from mol_pipeline.reading.jpeg_means import warning_of_libjpeg
from mol_pipeline.reading.jpeg_stream import jpeg_damage
from mol_pipeline.stages.footage import Footage
from tests.sources import CASES, pictures, write_film, write_image

QUICK = settings(max_examples=25, deadline=None, derandomize=True)
COLOUR = cv2.applyColorMap(cv2.resize(pictures()[5], (123, 95)), cv2.COLORMAP_JET)
SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR
JPEGS = {
    "best": [cv2.IMWRITE_JPEG_QUALITY, 100],
    "poor": [cv2.IMWRITE_JPEG_QUALITY, 30],
    "own tables": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 3],
    "4:4:4": [SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
    "4:2:2": [SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422],
    "4:4:0": [SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440],
    "4:1:1": [SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411],
    "several passes": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
}


def jpeg(name, picture=COLOUR):
    return cv2.imencode(".jpg", picture, JPEGS[name])[1].tobytes()


@pytest.mark.parametrize("name", sorted(JPEGS))
def test_a_whole_jpeg_is_never_called_damaged(name):
    for picture in (COLOUR, COLOUR[..., 0], COLOUR[:8, :8], COLOUR[:33, :17]):
        assert jpeg_damage(jpeg(name, picture)) is None
        assert jpeg_damage(jpeg(name, picture) + b"what a camera appends") is None


@QUICK
@given(name=st.sampled_from(sorted(JPEGS)), share=st.floats(0.05, 0.98), closed=st.booleans())
def test_a_jpeg_that_is_cut_is_named_whatever_the_decoder_makes_of_it(name, share, closed):
    content = jpeg(name)
    head = content.index(b"\xff\xda") + 20
    cut = content[: head + int((len(content) - head - 8) * share)]
    if closed:
        cut = cut.rstrip(b"\xff") + b"\xff\xd9"
    assert jpeg_damage(cut)


def test_changed_bytes_that_show_are_mostly_named():
    content = jpeg("best", cv2.resize(COLOUR, (320, 240)))
    whole = cv2.imdecode(np.frombuffer(content, np.uint8), 0).astype(int)
    start, chance, shown, named = content.index(b"\xff\xda") + 14, np.random.default_rng(0), 0, 0
    for _ in range(40):
        spoiled = bytearray(content)
        for at in chance.integers(start, len(content) - 2, 6):
            spoiled[at] = chance.integers(256)
        picture = cv2.imdecode(np.frombuffer(bytes(spoiled), np.uint8), 0)
        if picture is None or np.abs(picture - whole).mean() > 3:
            shown += 1
            named += jpeg_damage(bytes(spoiled)) is not None
    assert shown > 20
    assert named >= 0.9 * shown


@QUICK
@given(name=st.sampled_from(sorted(JPEGS)), place=st.integers(2, 650), bit=st.integers(0, 7))
def test_a_changed_header_is_damage_or_nothing(name, place, bit):
    spoiled = bytearray(jpeg(name))
    spoiled[place] ^= 1 << bit
    assert jpeg_damage(bytes(spoiled)) is None or len(jpeg_damage(bytes(spoiled))) > 10


SOFT = cv2.cvtColor(np.clip(cv2.resize(pictures()[5], (160, 120)), 60, 190), cv2.COLOR_GRAY2BGR)
SOFT[..., 0] -= 20
NOISE = np.random.default_rng(0).normal(0, 2, SOFT.shape)
ENDS = np.clip(SOFT + NOISE, 0, 255).astype(np.uint8)  # a camera's picture is never flat
ENDS[:, :40], ENDS[:20, 120:] = 0, 255


@pytest.mark.parametrize(
    ("picture", "sampling"),
    [
        *((SOFT, sampling) for sampling in ([], JPEGS["4:2:2"], JPEGS["restarts"])),
        # Black and white as whole pictures are: nothing of it is followed either.
        *((ENDS, [cv2.IMWRITE_JPEG_QUALITY, quality]) for quality in (50, 75, 90, 95)),
        (ENDS[..., 1], []),
    ],
)
def test_what_libjpeg_finds_whole_is_whole_by_its_codes(picture, sampling):
    content = cv2.imencode(".jpg", picture, sampling)[1].tobytes()
    assert warning_of_libjpeg(content) is None
    chance, named, missed = np.random.default_rng(1), 0, 0
    for _ in range(150):
        spoiled = bytearray(content)
        spoiled[chance.integers(600, len(content) - 2)] ^= 1 << chance.integers(8)
        by_codes = jpeg_stream._followed(bytes(spoiled), jpeg_stream._Picture())
        named += by_codes is not None
        missed += by_codes is not None and jpeg_damage(bytes(spoiled)) is None
    assert named > 15
    assert missed <= 0.1 * named


@QUICK
@given(
    suffix=st.sampled_from([".png", ".bmp", ".tif", ".pgm", ".ppm", ".webp"]),
    share=st.floats(0.3, 0.999),
    deep=st.booleans(),
)
def test_an_image_that_is_cut_is_refused_or_named(tmp_path_factory, suffix, share, deep):
    picture = COLOUR if suffix in {".ppm", ".webp"} else COLOUR[..., 1]
    deep = deep and suffix in {".png", ".tif", ".pgm"}
    path = write_image(
        tmp_path_factory.mktemp("cut") / f"1{suffix}",
        picture.astype(np.uint16) if deep else picture,
    )
    content = path.read_bytes()
    assert image_damage(content) is None
    path.write_bytes(content[: int(len(content) * share)])
    try:
        damage = read_image(path).damage
    except ValueError as error:
        damage = str(error)
    assert damage
    with pytest.raises(ValueError, match=r"damaged|not an image"):
        read_grey(path)


def test_a_changed_byte_of_a_png_is_named(tmp_path):
    content = bytearray(cv2.imencode(".png", COLOUR)[1].tobytes())
    content[len(content) // 2] ^= 1
    assert "check sum" in image_damage(bytes(content))


def test_a_tiff_of_several_pictures_is_refused(tmp_path):
    cv2.imwritemulti(str(tmp_path / "1.tif"), [COLOUR[..., 0], COLOUR[..., 1]])
    with pytest.raises(ValueError, match="holds 2 pictures; save each as a file"):
        read_grey(tmp_path / "1.tif")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    drawn = [cv2.resize(one, (192, 144)) for one in pictures()]
    return write_film(path, drawn, options={"g": "12", "bf": "3", "crf": "12"})


def read(path):
    log = FilmLog()
    frames = dict(read_video_frames(path, range(probe_film(path).frames), log))
    return frames, log.damaged


def test_of_a_film_with_a_changed_byte_what_differs_is_named(film, tmp_path):
    content, (whole, damaged) = film.read_bytes(), read(film)
    assert not damaged
    start = content.index(b"mdat") + 200
    chance, named = np.random.default_rng(3), 0
    for _ in range(12):
        spoiled = bytearray(content)
        spoiled[chance.integers(start, start + (len(content) - start) * 3 // 4)] ^= 255
        path = tmp_path / "spoiled.mp4"
        path.write_bytes(bytes(spoiled))
        frames, damaged = read(path)
        differ = {k for k in frames if np.abs(frames[k].astype(int) - whole[k]).mean() > 1}
        if damaged:
            named += 1
            assert differ <= set(damaged)
            assert len(damaged) < len(whole)  # no further than the next key frame
    assert named >= 7


def own(root, name):
    with (root / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "subject", "label"], [name, "a", "x"]])
    (video,) = Custom().index(root).videos
    return video


def folder_with_damage(root):
    (root / "f").mkdir()
    for k, picture in enumerate(pictures()):
        cv2.imwrite(str(root / "f" / f"{k}.jpg"), picture)
    path = root / "f" / "7.jpg"
    path.write_bytes(path.read_bytes()[:-300] + b"\xff\xd9")
    return own(root, "f")


def test_a_setting_says_what_becomes_of_a_damaged_frame(tmp_path):
    video = folder_with_damage(tmp_path)
    strict = Footage(video, tmp_path, ReadingConfig())
    with pytest.raises(Rejection) as rejected:
        list(strict.whole(strict.frames(range(5, 10))))
    assert rejected.value.code == "damaged-frame"
    assert "frame 7 is damaged (7.jpg: its data" in str(rejected.value)
    assert "reading.damaged=mark" in str(rejected.value)
    fine = Footage(video, tmp_path, ReadingConfig())
    assert len(list(fine.whole(fine.frames([1, 2, 20])))) == 3
    assert fine.remarks == ()
    marking = Footage(video, tmp_path, ReadingConfig(damaged="mark"))
    assert len(list(marking.whole(marking.frames(range(5, 10))))) == 5
    assert marking.remarks[0].startswith("damaged frames in use: 7 (its data")


def test_the_new_setting_changes_no_hash_at_its_default():
    assert "reading" not in BuildConfig().document
    marked = BuildConfig(reading=ReadingConfig(damaged="mark"))
    assert marked.hash != BuildConfig().hash


@pytest.mark.skipif(not CASES.is_dir(), reason="no small inputs beside the project")
def test_the_reported_files():
    frames, damaged = read(CASES / "damaged.mp4")
    assert len(frames) == 40
    assert set(range(12, 36)) <= set(damaged)
    assert 0 not in damaged and 39 not in damaged
    assert read(CASES / "base.mp4")[1] == {}
    named = {
        path.name: read_image(path).damage
        for path in sorted((CASES / "jpeg_damaged").iterdir())
        if read_image(path).damage
    }
    assert set(named) == {"8.jpg"}


@pytest.mark.parametrize("quality", [20, 75, 90, 95])
@pytest.mark.parametrize("level", [0, 255])
def test_a_mean_beyond_black_or_white_is_found_however_little_libjpeg_minds(quality, level):
    """The step of every mean is made larger, as a spoiled table or a wrong code would."""
    picture = np.full((64, 64), level, np.uint8)
    picture[:16] = 128
    content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    assert jpeg_damage(content) is None
    table = content.index(b"\xff\xdb") + 5
    step = content[table]
    spoiled = bytearray(content)
    spoiled[table] = step + max(1, -(-step // 8))
    assert "brighter than white or darker than black" in jpeg_damage(bytes(spoiled))
