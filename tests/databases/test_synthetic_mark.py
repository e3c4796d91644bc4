"""The mark of a demo is found where the frames and the table are, wherever the root is."""

import shutil

import pytest

from mol_pipeline.databases.registry import ADAPTERS
from mol_pipeline.databases.synthetic import MARKER_NAME
from tests.databases.releases import Clip, samm

RELEASE = [Clip(6, "006_1_2", "Anger")]


@pytest.fixture
def demo(tmp_path):
    root = samm(RELEASE).write(tmp_path / "data" / "demo")
    (root / MARKER_NAME).write_text('{"synthetic": true}')
    return root


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_root_above_the_demo(demo, up):
    root = [demo, *demo.parents][up]
    index = ADAPTERS["samm"].index(root)
    assert index.synthetic
    assert index.counts == ()


def test_a_root_inside_the_demo(demo):
    shutil.move(demo / "SAMM_Micro_FACS_Codes_v2.xlsx", demo / "SAMM")
    assert ADAPTERS["samm"].index(demo / "SAMM").synthetic


def test_frames_or_a_table_that_lie_elsewhere(demo, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "SAMM").symlink_to(demo / "SAMM")
    shutil.copy(demo / "SAMM_Micro_FACS_Codes_v2.xlsx", linked)
    assert ADAPTERS["samm"].index(linked).synthetic
    filmed = samm(RELEASE).write(tmp_path / "filmed")
    assert not ADAPTERS["samm"].index(filmed).synthetic
    table = demo / "SAMM_Micro_FACS_Codes_v2.xlsx"
    assert ADAPTERS["samm"].index(filmed, annotation=table).synthetic
