"""Any network goes the whole way: trained, continued, tested, shown, used on a film."""

import json
import re
import sys
from pathlib import Path

import pytest

from mol_model.cli import main
from mol_model.config.network import NETWORKS
from mol_model.networks.build import network_of
from mol_pipeline.contract.shard_layout import KEY_ARRAYS
from tests.in_process import invoke, run_here
from tests.model.inference_fixture import demo_folders
from tests.model.shard_fixture import write_shards

PAGE = Path(__file__).parents[3] / "docs" / "your-own-network.md"
QUICK = ("--steps", "3", "--device", "cpu", "--jobs", "1", "--set", "training.checkpoint_every=1")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The shortest folder of a synthetic subject."""
    return demo_folders(tmp_path_factory.mktemp("demo"))[-1]


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """The page's module in the working folder, as somebody has it who follows the page."""
    (code,) = re.findall(r"```python\n# my_networks.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("my_networks.py").write_text(code)
    assert len(code.strip().splitlines()) <= 42
    yield "my_networks:network"
    sys.modules.pop("my_networks", None)


def fit(shards, network, *more, out="run"):
    return invoke(
        main, "fit", "--network", network, "--shards", shards, "--out", out, *QUICK, *more
    )


def test_a_network_of_ones_own_is_trained_continued_tested_and_used(own_module, tmp_path, film):
    shards = write_shards(tmp_path / "shards", subjects=3, frames=8)
    result = fit(shards, own_module, "--set", "network.width=4", "--folds", "0,1")
    assert result.exit_code == 0, result.stderr
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["folds"] == 2
    assert {"recognition"} == {"recognition", "flow", "landmarks"} & metrics.keys()
    assert "my_networks:network" in Path("run/report.html").read_text()
    card = Path("run/MODEL_CARD.md").read_text()
    assert "small-network" in card and "mine, unpublished" in card
    before = {path: path.read_bytes() for path in Path("run/folds").rglob("predictions.json")}
    assert len(before) == 2

    assert fit(shards, own_module, "--set", "network.width=4").exit_code == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    other = fit(shards, own_module, "--set", "network.width=5")
    assert other.exit_code == 3 and "config_hash" in other.stderr

    fold = next(iter(before)).parent
    others = write_shards(tmp_path / "others", subjects=1, first_subject=30, frames=8)
    tested = invoke(main, "evaluate", "--checkpoint", fold, "--shards", others, "--out", "tested")
    assert tested.exit_code == 0, tested.stderr
    used = invoke(
        main,
        "predict",
        demo_folders(tmp_path)[0],
        "--checkpoint",
        fold,
        "--out",
        "seen",
        "--no-film",
    )
    assert used.exit_code == 0, used.stderr
    (document,) = Path("seen").rglob("prediction.json")
    assert json.loads(document.read_text())["class"] in metrics["classes"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--network", "nobody"), "there are mol"),
        (("--network", "absent_module:network"), "no module 'absent_module'"),
        (("--network", "my_networks:absent"), "absent"),
        (("--network", "my_networks:Settings"), "no network definition"),
        (("--network", "my_networks:network", "--set", "network.widht=3"), "model.width?"),
        (("--network", "my_networks:network", "--preset", "paper"), "it has default"),
        (("--network", "my_networks:network", "--set", "network.width=0"), "model.width"),
    ],
)
def test_what_is_wrong_with_a_network_is_one_line(own_module, tmp_path, given, words):
    shards = write_shards(tmp_path / "shards", subjects=2)
    found = run_here(main, "fit", "--shards", shards, "--out", "run", *QUICK, *given)
    assert found.returncode == 3, found.stderr
    assert words in found.stderr and len(found.stderr.strip().splitlines()) == 1


def test_a_network_that_breaks_its_promise_is_named(own_module, tmp_path):
    text = Path("my_networks.py").read_text()
    Path("my_networks.py").write_text(text.replace("settings.classes)", "7)"))
    shards = write_shards(tmp_path / "shards", subjects=2)
    found = run_here(main, "fit", "--network", own_module, "--shards", shards, "--out", "r", *QUICK)
    assert found.returncode == 7
    assert re.search(
        r"small-network: returned logits of shape \(\d+, 7\), not \[\d+, 5\]", found.stderr
    )


@pytest.mark.parametrize("network", [name for name in NETWORKS if name not in {"mol", "htnet"}])
def test_every_network_of_the_project_goes_the_whole_way(network, tmp_path, monkeypatch, film):
    monkeypatch.chdir(tmp_path)
    shards = write_shards(tmp_path / "shards", subjects=2, frames=8, phases=1)
    presets = ["--preset", "tiny"] if "tiny" in _presets(network) else []
    result = fit(shards, network, *presets, "--set", "training.batch_size=2")
    assert result.exit_code == 0, result.stderr
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["videos"] == 10 and "recognition" in metrics
    if network not in {"ststnet", "mmnet", "fdp"}:  # one of each kind of view
        return
    fold = next(Path("run/folds").iterdir())
    used = invoke(main, "predict", film, "--checkpoint", fold, "--out", "seen", "--no-film")
    assert used.exit_code == 0, used.stderr
    (document,) = Path("seen").rglob("prediction.json")
    said = json.loads(document.read_text())
    assert said["class"] in metrics["classes"]
    sees_keys = any(view.startswith("key-") for view in network_of(network).views)
    assert sees_keys == ("largest-flow" in str(said["notes"]))


def _presets(network):
    from mol_model.config.settings import preset_names

    return preset_names(network)


def test_shards_without_key_frames_are_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shards = write_shards(tmp_path / "shards", subjects=2, apex_rule=None)
    result = run_here(main, "fit", "--network", "ststnet", "--shards", shards, "--out", "r", *QUICK)
    assert result.returncode == 3
    assert "10 of 10 videos have no record of key frames" in result.stderr
    assert "key_frames.apex=middle" in result.stderr
    assert len(KEY_ARRAYS) == 6


def test_networks_are_listed_with_views_and_parameters():
    rows = {row["name"]: row for row in json.loads(invoke(main, "networks", "--json").stdout)}
    assert set(rows) == set(NETWORKS)
    assert rows["mol"]["views"] == ["frames"] and rows["mol"]["parameters"] > 10**7
    text = invoke(main, "networks").stdout
    assert all(name in text for name in NETWORKS)
