"""The model card of a small run."""

import json

import pytest

from mol_model.config.mol import TINY
from mol_model.config.settings import ProtocolConfig, RunConfig, TrainingConfig
from mol_model.networks.summary import summarise
from mol_model.reports.model_card import write_card
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data
from mol_model.runs.seeds import summarise_seeds
from mol_pipeline.contract.errors import ConfigError
from tests.model.shard_fixture import write_shards


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    config = RunConfig(
        model=TINY,
        protocol=ProtocolConfig(),
        training=TrainingConfig(steps=2, batch_size=4, flow_pairs=1, seed=7),
    )
    data = load_data([write_shards(place / "shards", subjects=2)], None, config)
    config = fit_to_data(config, data)
    metrics = fit(data, config, RunOptions(out=place / "run", device="cpu", jobs=1))
    return place / "run", config, metrics


def test_a_card_says_what_the_run_says(run):
    out, config, metrics = run
    path = write_card(out)
    assert path == out / "MODEL_CARD.md"
    card = path.read_text()
    words = " ".join(card.split())
    assert "**SYNTHETIC DATA.**" in card
    assert f"`{metrics['manifest_hash']}`" in card
    assert metrics["alignment"] == ["frame"]
    assert "`alignment.reference`: frame." in card
    assert f"{summarise(config)['parameters']:,} parameters" in words
    assert metrics["selection_means"] in card
    assert "Seeds: 7 (one seed: no spread is known)" in card
    assert "OPTIMISTIC" not in card
    accuracy, always = metrics["recognition"]["accuracy"], metrics["majority_class"]["accuracy"]
    row = f"| accuracy | {100 * accuracy:.2f} % | {100 * always:.2f} % (majority class) |"
    assert row in card
    assert f"{metrics['flow']['average_end_point_error_px']:.2f} px" in card
    assert "A recognised expression is no proof of what a person feels." in card
    assert "exclude commercial use" in card
    assert ", ".join(metrics["classes"]) in card


def test_spread_over_seeds_real_data_and_optimism(run, tmp_path):
    out, _, metrics = run
    of_seeds = {}
    for seed, value in enumerate((0.5, 0.6, 0.7)):
        recognition = {**metrics["recognition"], "accuracy": value}
        changed = {"synthetic": False, "selection": "test-best", "recognition": recognition}
        of_seeds[seed] = {**metrics, **changed}
        of_seeds[seed].pop("flow")
        directory = tmp_path / f"seed-{seed}"
        directory.mkdir()
        for name in ("run.json", "config.yaml"):
            (directory / name).write_bytes((out / name).read_bytes())
        (directory / "metrics.json").write_text(json.dumps(of_seeds[seed]))
    (tmp_path / "metrics.json").write_text(json.dumps(summarise_seeds(of_seeds)))
    card = write_card(tmp_path).read_text()
    assert "| accuracy | 60.00 ± 10.00 % |" in card
    assert "Seeds: 0, 1, 2." in card
    assert "AEPE" not in card
    assert "OPTIMISTIC" in card
    assert "SYNTHETIC" not in card


def test_a_directory_without_a_finished_run_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"no finished run \(no metrics.json\)"):
        write_card(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        write_card(tmp_path)
