"""A run that reads shards: proven at the start, watched until the end."""

import pytest

from mol_model.config.mol import TINY
from mol_model.config.settings import DataConfig, RunConfig, TrainingConfig
from mol_model.runs.options import RunOptions
from mol_model.runs.progress import run_progress
from mol_model.runs.run import fit, fit_to_data, load_data
from mol_pipeline.contract.errors import ManifestError
from tests.model.shard_fixture import write_shards
from tests.tally import tally

NAME = "shard-00000.h5"


@pytest.fixture
def shards(tmp_path):
    return write_shards(tmp_path / "shards", subjects=2, phases=1, frames=2)


def run(shards, out, cache, on_progress):
    config = RunConfig(
        model=TINY,
        data=DataConfig(cache=cache, cache_mb=0 if cache == "stream" else 100),
        training=TrainingConfig(steps=2, batch_size=2, log_every=1, flow_pairs=1),
    )
    data = load_data([shards], None, config)
    options = RunOptions(out=out, device="cpu", jobs=1)
    return fit(data, fit_to_data(config, data), options, on_progress=on_progress)


def test_the_proof_of_the_bytes_is_said_once_with_its_cost(shards, tmp_path, capsys):
    with run_progress() as on_progress:
        run(shards, tmp_path / "run", "auto", on_progress)
    said = [line for line in capsys.readouterr().err.splitlines() if "checked" in line]
    assert len(said) == 1
    assert said[0].startswith("checked ") and said[0].endswith("SHA-256 of their manifest")


def test_a_run_does_not_begin_on_damaged_shards(shards, tmp_path):
    content = bytearray((shards / NAME).read_bytes())
    content[len(content) // 2] ^= 1
    (shards / NAME).write_bytes(content)
    steps = []
    with pytest.raises(ManifestError, match=NAME):
        run(shards, tmp_path / "run", "auto", steps.append)
    assert not steps
    assert not (tmp_path / "run/metrics.json").exists()


@pytest.mark.parametrize("cache", ["stream", "auto"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_shard_that_changes_under_a_run_ends_it_without_a_result(shards, tmp_path, cache, step):
    def damage(progress):
        if progress.step and progress.step.step == step:
            content = bytearray((shards / NAME).read_bytes())
            content[-1] ^= 1
            (shards / NAME).write_bytes(content)

    out = tmp_path / "run"
    with tally("shards changed under a run") as tried, tried():
        with pytest.raises(ManifestError, match=NAME):
            run(shards, out, cache, damage)
        assert not (out / "metrics.json").exists()
        assert not list(out.glob("folds/*/predictions*"))
