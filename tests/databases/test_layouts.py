"""Every demo layout goes through its adapter and the kernels, oddities and all."""

import numpy as np
import pytest
from click.testing import CliRunner

from mol_pipeline.cli import main
from mol_pipeline.config import BuildConfig, SamplingConfig
from mol_pipeline.contract.labels import WITHOUT_TRUTH
from mol_pipeline.contract.manifest_file import read_manifest
from mol_pipeline.databases.demo import write_demo
from mol_pipeline.databases.demo.layouts import LAYOUTS
from mol_pipeline.databases.names import DATABASES
from mol_pipeline.databases.registry import ADAPTERS
from mol_pipeline.stages.segments import cut_long_videos
from mol_pipeline.stages.video import prepare_video

PAIR = BuildConfig(sampling=SamplingConfig(frames=2, phases="centre"))


def test_there_is_a_layout_for_every_database():
    assert set(LAYOUTS) == set(DATABASES) == set(ADAPTERS)


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"samm"}))  # samm: test_demo.py
def test_a_demo_is_read_by_its_adapter_and_prepared(tmp_path, name):
    layout = LAYOUTS[name]
    write_demo(tmp_path, layout=name, subjects=1)
    index = ADAPTERS[name].index(tmp_path)
    assert index.synthetic
    assert len(index.videos) == len(layout.plan)
    assert not index.rejected
    assert any(video.missing for video in index.videos) == layout.gap
    document = index.document()
    if document.counted == "videos":
        assert set(document.by_class) <= {scene.emotion.lower() for scene in layout.plan} | {""}
    for clip in document.clips if name not in WITHOUT_TRUTH else ():
        assert clip.labels or document.counted == "frames" or "+" in clip.raw_label, clip.clip

    cut = cut_long_videos(index, PAIR.segments)
    prepared = prepare_video(cut.videos[0], tmp_path, PAIR)
    assert prepared.arrays["frames"].shape == (1, 2, 144, 144)
    flow = prepared.arrays["flow"].astype(np.float32)
    assert 0.05 < np.abs(flow).max() < 12


def test_own_videos_go_the_whole_way_by_the_command_line(tmp_path):
    runner = CliRunner()
    root, out = tmp_path / "root", tmp_path / "out"
    demo = runner.invoke(main, ["demo", str(root), "--layout", "custom", "--subjects", "1"])
    assert demo.exit_code == 0, demo.output
    assert f"molprep build --dataset custom --root {root}" in demo.stdout
    build = runner.invoke(
        main,
        [
            *("build", "--dataset", "custom", "--root", str(root), "--out", str(out)),
            *("--workers", "1", "--set", "sampling.frames=2", "--set", "sampling.phases=centre"),
        ],
    )
    assert build.exit_code == 0, build.output
    manifest = read_manifest(out)
    assert manifest.classes == {"all": ("raised brows", "smile")}
    assert [video.labels for video in manifest.videos] == [
        {"all": "raised brows"},
        {"all": "smile"},
    ]
    assert manifest.videos[0].frames_found > manifest.videos[1].key_frames.onset
