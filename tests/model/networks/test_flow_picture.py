"""The picture of u, v and strain: by hand, by loops, on fields whose strain is known."""

import math

import pytest
import torch

from mol_model.networks.flow_picture import (
    FlowPicture,
    FlowPictureSettings,
    min_max,
    optical_strain,
    patch_means,
)
from mol_model.networks.interface import TrainingPart
from tests.model.networks.clips import P, face_points, some_views

HEIGHT, WIDTH = 6, 9


def strain_by_loops(flow):
    """Central differences inside, one-sided at the border, pixel by pixel."""
    height, width = flow.shape[1:]
    out = torch.zeros(height, width)
    for y in range(height):
        for x in range(width):
            up, down = max(y - 1, 0), min(y + 1, height - 1)
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            along_x = (flow[:, y, right] - flow[:, y, left]) / (right - left)
            along_y = (flow[:, down, x] - flow[:, up, x]) / (down - up)
            (ux, vx), (uy, vy) = along_x, along_y
            out[y, x] = math.sqrt(ux**2 + vy**2 + (uy + vx) ** 2 / 2)
    return out


def field(ux=0.0, uy=0.0, vx=0.0, vy=0.0):
    """A flow whose derivatives are the same everywhere."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return torch.stack([ux * x + uy * y, vx * x + vy * y]).float()


def picture(size=16, scaling="clip", nose_centred=False, nose_px=5):
    return FlowPicture(size=size, scaling=scaling, nose_centred=nose_centred, nose_px=nose_px)


def test_strain_equals_its_loops():
    flow = torch.randn(2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(optical_strain(flow), strain_by_loops(flow), atol=1e-5, rtol=1e-5)
    both = torch.stack([flow, flow.flip(2)])
    torch.testing.assert_close(optical_strain(both)[1], strain_by_loops(flow.flip(2)))


@pytest.mark.parametrize(
    ("what", "derivatives", "expected"),
    [
        ("a shift", {}, 0.0),
        ("a small turn", {"uy": -0.3, "vx": 0.3}, 0.0),
        ("a stretch along x", {"ux": 0.3}, 0.3),
        ("a stretch along y", {"vy": -0.3}, 0.3),
        ("a shear", {"uy": 0.3}, 0.3 / math.sqrt(2)),
        ("the other shear", {"vx": 0.3}, 0.3 / math.sqrt(2)),
        ("both shears", {"uy": 0.3, "vx": 0.3}, 0.6 / math.sqrt(2)),
    ],
)
def test_strain_of_a_field_that_is_known(what, derivatives, expected):
    found = optical_strain(field(**derivatives) + 5)
    torch.testing.assert_close(found, torch.full((HEIGHT, WIDTH), expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_the_mean_around_a_point_equals_its_loops(side):
    fields = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    points = torch.tensor([[[4.2, 2.7], [0.0, 0.0], [WIDTH + 3.0, HEIGHT - 1.0], [3.0, -9.0]]])
    found = patch_means(fields, points, side)
    for i, (x, y) in enumerate(points[0].tolist()):
        x, y = min(max(round(x), 0), WIDTH - 1), min(max(round(y), 0), HEIGHT - 1)
        before, after = (side - 1) // 2, side // 2
        rows = range(max(y - before, 0), min(y + after, HEIGHT - 1) + 1)
        columns = range(max(x - before, 0), min(x + after, WIDTH - 1) + 1)
        values = [fields[0, :, row, column] for row in rows for column in columns]
        torch.testing.assert_close(found[0, i], torch.stack(values).mean(dim=0))


def test_each_channel_of_each_clip_goes_from_nought_to_one():
    found = min_max(torch.tensor([[[[1.0, 3.0], [2.0, 1.0]], [[4.0, 4.0], [4.0, 4.0]]]]))
    assert found.tolist() == [[[[0.0, 1.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]]
    views, _ = some_views(4)
    made = picture()(views["key-flow"], views["key-landmarks"])
    assert made.shape == (4, 3, 16, 16)
    assert made.amin(dim=(2, 3)).eq(0).all()
    torch.testing.assert_close(made.amax(dim=(2, 3)), torch.ones(4, 3))


def test_a_clip_without_motion_gives_noughts_not_nan():
    made = picture()(torch.zeros(2, 2, 2, P, P), face_points(2)[:, None].repeat(1, 3, 1, 1))
    assert made.eq(0).all()


def test_the_picture_is_of_onset_to_apex_and_small_pixels_are_means():
    views, _ = some_views(2)
    made = picture(scaling="train")(views["key-flow"], views["key-landmarks"])
    flow = views["key-flow"][:, 0]
    whole = torch.cat([flow, optical_strain(flow)[:, None]], dim=1)
    blocks = whole.unflatten(3, (16, 4)).unflatten(2, (16, 4)).mean(dim=(3, 5))
    torch.testing.assert_close(made, blocks)


def test_the_scale_of_the_training_part_divides():
    views, _ = some_views(2)
    plain, scaled = picture(scaling="train"), picture(scaling="train")
    scaled.begin(TrainingPart(torch.zeros(68, 2), torch.tensor([2.0, 4.0, 0.0])))
    expected = plain(views["key-flow"], views["key-landmarks"])
    expected = expected / torch.tensor([2.0, 4.0, 1.0])[:, None, None]  # 0: never moved
    torch.testing.assert_close(scaled(views["key-flow"], views["key-landmarks"]), expected)
    assert "scale" in scaled.state_dict()
    with pytest.raises(ValueError, match="no key_flow_scale"):
        plain.begin(TrainingPart(torch.zeros(68, 2)))
    picture(scaling="clip").begin(TrainingPart(torch.zeros(68, 2)))


def test_how_the_head_moves_is_taken_off_at_the_nose():
    views, _ = some_views(2)
    shifted = views["key-flow"] + torch.tensor([3.0, -2.0])[:, None, None]
    centred = picture(scaling="train", nose_centred=True)
    found = centred(shifted, views["key-landmarks"])
    expected = centred(views["key-flow"], views["key-landmarks"])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    nose = patch_means(views["key-flow"][:, 0], views["key-landmarks"][:, 0, 30:31], 5)
    plain = picture(scaling="train")(views["key-flow"], views["key-landmarks"])
    torch.testing.assert_close(
        plain[:, :2] - found[:, :2],
        nose[:, 0, :, None, None].expand(-1, -1, 16, 16),
        atol=1e-5,
        rtol=1e-5,
    )


def test_settings_make_the_picture():
    made = FlowPicture.of(FlowPictureSettings(scaling="train", nose_centred=True, nose_px=7), 28)
    assert (made.size, made.scaling, made.nose_px) == (28, "train", 7)
    assert FlowPicture.of(FlowPictureSettings(), 28).nose_px is None
