"""Networks of the field through a whole run: trained, kept, tested again from what was kept."""

import json

import pytest

from mol_model.config.settings import resolve_settings
from mol_model.runs.checkpoint_test import evaluate_checkpoint
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data
from tests.model.shard_fixture import write_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), frames=4, phases=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("majority", ()),
        ("mean-flow", ()),
        ("bi-woof", ()),
        ("lbp-top", ("network.radius_frames=1",)),
        ("ststnet", ("training.steps=2", "training.batch_size=2")),
        ("mmnet", ("training.steps=2", "training.batch_size=2", "network.size=32")),
        ("fdp", ("training.steps=2", "training.batch_size=2", "network.side=32")),
    ],
)
def test_what_a_run_kept_answers_again_as_it_did(name, words, shards, tmp_path):
    config = resolve_settings("tiny", None, words, network=name)
    data = load_data([shards], None, config)
    config = fit_to_data(config, data)
    fit(data, config, RunOptions(out=tmp_path / "run", device="cpu", jobs=1))
    folders = sorted((tmp_path / "run" / "folds").iterdir())
    assert len(folders) == 3
    own = json.loads((folders[0] / "predictions.json").read_text())
    evaluate_checkpoint(
        folders[0] / "checkpoint", [shards], tmp_path / "again", device="cpu", leave_out_seen=True
    )
    again = json.loads((tmp_path / "again" / "predictions.json").read_text())
    videos = [{row["clip"]: row["probabilities"] for row in found} for found in (own, again)]
    assert videos[0].keys() == videos[1].keys() and len(videos[0]) == len(own) > 0
    for clip, probabilities in videos[0].items():
        assert videos[1][clip] == pytest.approx(probabilities, abs=1e-5)
