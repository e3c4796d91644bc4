"""Warping (Eq. 11) and the figures drawn from arrays."""

import matplotlib.image
import numpy as np
import pytest

from mol_model.pictures.figures import draw_flow, draw_landmark_frames, draw_warp
from mol_model.pictures.sheet import Sheet
from mol_model.pictures.warp import warp


def smooth(x, y):
    return 120 + 50 * np.sin(x / 6) + 40 * np.cos(y / 5)


def test_warp_brings_the_later_frame_back_by_whole_pixels_exactly():
    """Convention: what is at (x, y) is found again at (x + u, y + v)."""
    earlier = np.random.default_rng(0).uniform(0, 255, (20, 30))
    right, down = 3, -2
    later = np.roll(earlier, (down, right), axis=(0, 1))
    flow = np.zeros((2, 20, 30))
    flow[0], flow[1] = right, down
    inside = np.s_[2:, :-3]
    assert np.abs(warp(later, flow) - earlier)[inside].max() < 1e-9
    assert np.abs(warp(later, -flow) - earlier)[inside].max() > 50


def test_warp_samples_between_pixels_bilinearly():
    rows, columns = np.mgrid[:40, :50].astype(float)
    u, v = 0.75, -1.5
    later = smooth(columns - u, rows - v)
    flow = np.broadcast_to(np.array([u, v])[:, None, None], (2, 40, 50))
    error = np.abs(warp(later, flow) - smooth(columns, rows))[3:-3, 3:-3]
    assert error.max() < 1.5  # what bilinear sampling costs on this curve
    ramp = 2 * columns + 3 * rows  # bilinear sampling is exact on a plane
    moved = warp(ramp, flow)[3:-3, 3:-3]
    assert np.allclose(moved, (ramp + 2 * u + 3 * v)[3:-3, 3:-3])
    assert np.allclose(warp(ramp, np.zeros((2, 40, 50))), ramp, rtol=0, atol=1e-9)


def test_warp_refuses_a_flow_of_another_size():
    with pytest.raises(ValueError, match=r"must be \[2, height, width\]"):
        warp(np.zeros((8, 8)), np.zeros((8, 8, 2)))


def test_each_figure_is_a_picture_that_depends_on_the_estimate(tmp_path):
    rows, columns = np.mgrid[:64, :64].astype(float)
    frames = np.stack([smooth(columns - 2.0 * k, rows) for k in range(3)])
    flow = np.zeros((2, 2, 64, 64))
    flow[:, 0] = 2.0
    points = np.random.default_rng(1).uniform(10, 50, (2, 68, 2))

    def drawn(draw, *arrays, **more):
        path = tmp_path / "figure.png"
        draw(*arrays, path, title="a title", **more)
        return matplotlib.image.imread(path)

    right = drawn(draw_warp, frames, flow, labels=["5", "9", "13"])
    wrong = drawn(draw_warp, frames, 0 * flow, labels=["5", "9", "13"])
    assert right.shape == wrong.shape
    lower = right.shape[0] * 4 // 5
    # The last row is the error after warping: dark where the flow is right.
    assert right[lower:, :, :3].mean() < wrong[lower:, :, :3].mean() - 0.02

    coloured = drawn(draw_flow, frames, flow, truth=flow)
    assert coloured.shape[0] > drawn(draw_flow, frames, flow).shape[0]
    for picture in (coloured, drawn(draw_flow, frames, flow)):
        saturation = picture[..., :3].max(-1) - picture[..., :3].min(-1)
        assert (saturation > 0.9).mean() > 0.05

    one = drawn(draw_landmark_frames, frames[1:], points, truth=points + 4)
    alone = drawn(draw_landmark_frames, frames[1:], points)
    cyan = (one[..., 2] > 0.9) & (one[..., 0] < 0.1)
    assert cyan.sum() > 50
    assert not ((alone[..., 2] > 0.9) & (alone[..., 0] < 0.1)).any()


def test_a_long_title_goes_on_in_the_next_line_and_pictures_keep_their_place():
    sheet = Sheet(1, 2, 32)
    sheet.place(0, 1, "a square", np.zeros((16, 16, 3), dtype=np.uint8))
    figure = sheet.draw("held out: samm/006/006_1_1: Dlib cyan, the network red")
    figure.draw_without_rendering()
    (title,) = figure.texts
    extent = title.get_window_extent()
    assert "\n" in title.get_text()
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width
    assert sheet.canvas[:, :32].min() == 255
    assert (sheet.canvas[-24:-8, -25:-9] == 0).all() and sheet.canvas[-7:].min() == 255
