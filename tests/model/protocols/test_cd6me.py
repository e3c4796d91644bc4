"""CD6ME: twelve action units of six databases, what is unknown costs and earns nothing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch.nn import functional

from mol_model.cli import main
from mol_model.clips.shards import ShardSet
from mol_model.networks.losses import unit_loss
from mol_model.networks.mol.losses import joint_loss
from mol_model.protocols.folds import Sample
from mol_model.protocols.plan import read_protocol
from mol_model.protocols.units import CD6ME, UNIT_CLASSES, units_of
from mol_model.reports.text import result_text
from mol_model.scoring.evaluation import phase_mean
from mol_model.scoring.predictions import VideoPrediction
from mol_model.scoring.units import PUBLISHED, binary_f1, published_units, unit_scores
from mol_model.training.optimiser import unit_weights
from mol_model.training.step import known_share
from mol_pipeline.contract.manifest_file import MANIFEST_NAME, read_manifest
from tests.in_process import invoke
from tests.model.shard_fixture import write_shards

PROTOCOLS = Path(__file__).parents[3] / "manifests/protocols"
TEXTS = {
    "surprise": "1+2+5",
    "others": "4+7+L9+(6 or 12)",
    "happiness": "6+12+10+14+15+17",
    "disgust": "?",
}
"""Of one word each; all twelve units are shown in one of them, and one clip takes no part."""


QUICK = (
    *("--preset", "tiny", "--steps", "2", "--jobs", "1", "--device", "cpu"),
    *("--set", "training.batch_size=4", "--set", "model.use_flow=false"),
    *("--set", "model.use_landmarks=false"),
)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Small shards of six databases, of the owners' or synthetic."""
    base = tmp_path_factory.mktemp("six")

    def write(synthetic):
        return [
            write_shards(
                base / f"{name}-{synthetic}",
                database=name,
                subjects=1,
                words=tuple(TEXTS),
                action_units=TEXTS,
                frames=2,
                phases=1,
                synthetic=synthetic,
            )
            for name in CD6ME
        ]

    return {synthetic: write(synthetic) for synthetic in (True, False)}


def given_as_options(directories):
    return [word for path in directories for word in ("--shards", path)]


def plan(directories, *options):
    return invoke(main, "folds", *given_as_options(directories), *options)


def test_the_plan_is_shown_without_training(six):
    result = plan(six[True], "--protocol", "cd6me")
    assert result.exit_code == 0, result.output
    assert "CD6ME: action units, leave one of six databases out" in result.stdout
    assert "18 videos of 6 people, 6 folds (AU1 6, AU2 6, AU4 6" in result.stdout
    assert result.stderr == ""
    shown = plan(six[False], "--protocol", "cd6me", "--json")
    document = json.loads(shown.stdout)
    assert [fold["name"] for fold in document["folds"]] == sorted(CD6ME)
    (samm,) = [fold for fold in document["folds"] if fold["name"] == "samm"]
    assert {key.split("/")[0] for key in samm["train"]} == set(CD6ME) - {"samm"}
    assert (len(samm["train"]), len(samm["test"])) == (15, 3)
    assert "samm: 3 clips with a known action unit, CD6ME has 159" in shown.stderr
    assert sum(CD6ME.values()) == 2031


def test_the_protocol_document_is_the_protocol(six):
    from_file = plan(six[True], "--protocol", PROTOCOLS / "cd6me.json", "--json")
    assert from_file.stdout == plan(six[True], "--protocol", "cd6me", "--json").stdout
    of_emotions = read_protocol(PROTOCOLS / "six-leave-one-database-out.json")
    assert of_emotions.mapping == "3" and "three emotion classes" in of_emotions.title


@pytest.mark.parametrize(
    ("directories", "options", "words"),
    [
        (slice(1, 6), ["--protocol", "cd6me"], "cd6me: casme not given; it joins casme, casme2"),
        (slice(0, 6), ["--protocol", "cd6me", "--classes", "3"], "cd6me is about action units"),
    ],
)
def test_what_is_not_the_protocol_is_refused(six, directories, options, words):
    result = plan(six[True][directories], *options)
    assert result.exit_code == 3
    assert words in result.stderr


def test_a_foreign_database_is_refused_and_another_protocol_takes_it(six, tmp_path):
    lv = write_shards(
        tmp_path / "lv", database="samm-lv", subjects=1, words=("surprise",), frames=2,
        action_units={"surprise": "1"},
    )  # fmt: skip
    assert "samm-lv no part of it" in plan([*six[True], lv], "--protocol", "cd6me").stderr
    free = plan(
        [*six[True][:2], lv], "--protocol", "leave-one-database-out", "--classes", "action-units"
    )
    assert free.exit_code == 0 and "3 folds" in free.stdout
    folds = plan(six[True], "--protocol", "k-fold", "--k", "3", "--classes", "action-units")
    assert folds.exit_code == 0 and "fold-03" in folds.stdout


def test_a_unit_that_nobody_shows_is_said_and_stops_nothing(tmp_path):
    shards = write_shards(
        tmp_path / "shards", subjects=3, words=("Anger",), action_units={"Anger": "4+7"}, frames=2,
        phases=1,
    )  # fmt: skip
    for protocol in ("loso", "k-fold"):
        shown = plan([shards], "--protocol", protocol, "--k", "2", "--classes", "action-units")
        assert shown.exit_code == 0, shown.output
        assert "AU4 3" in shown.stdout and "AU9 0" in shown.stdout
    result = invoke(
        main, "loso", "--shards", shards, "--out", tmp_path / "run", "--classes", "action-units",
        *QUICK,
    )  # fmt: skip
    assert "fold samm-006: no training video of class AU1, AU2, AU5" in result.stdout


def test_seeds_of_a_model_of_units_give_mean_and_spread_of_its_f1(tmp_path):
    words = ("Anger", "Happiness")
    shards = write_shards(
        tmp_path / "shards", subjects=2, words=words, frames=2, phases=1,
        action_units={"Anger": "4+7", "Happiness": "6+12"},
    )  # fmt: skip
    out = tmp_path / "run"
    result = invoke(
        main, "loso", "--shards", shards, "--out", out, "--classes", "action-units", *QUICK,
        "--seeds", "0,3",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "seeds 0, 3" in result.stdout
    metrics = json.loads((out / "metrics.json").read_text())
    single = [json.loads((out / f"seed-{seed}/metrics.json").read_text()) for seed in (0, 3)]
    for name in ("f1_over_units", "f1_over_databases"):
        key = next(key for key in metrics["spread"] if key.endswith(name))
        spread = metrics["spread"][key]
        values = [value_of(one, name) for one in single]
        assert spread["values"] == pytest.approx(values)
        assert spread["mean"] == pytest.approx(sum(values) / 2)
    assert "confusion" not in metrics
    assert "f1 over units" in (out / "report.html").read_text()


def value_of(document, name):
    """A score of a run, however deep it lies."""
    if name in document:
        return document[name]
    parts = [part for part in document.values() if isinstance(part, dict)]
    return next(found for part in parts if (found := value_of(part, name)) is not None)


def test_clips_without_any_known_unit_take_no_part(six):
    (samm,) = [path for path in six[True] if path.name.startswith("samm")]
    videos = {video.raw_label: video for video in read_manifest(samm).videos}
    assert units_of(videos["disgust"]) is None
    others = dict(zip(UNIT_CLASSES, units_of(videos["others"]), strict=True))
    assert (others["AU4"], others["AU6"], others["AU12"], others["AU1"]) == (1, -1, -1, 0)
    macro = videos["surprise"].model_copy(update={"annotations": {"expression": "macro"}})
    assert units_of(macro) is None
    data = ShardSet([samm], mapping="action-units")
    assert data.classes == UNIT_CLASSES and len(data.videos) == 3
    batch = data.read([0, 1])
    assert batch.labels.shape == (2, 12) and set(batch.labels[1].tolist()) == {1, 0, -1}
    assert batch.take([1]).labels.tolist() == [batch.labels[1].tolist()]


def test_what_is_unknown_costs_nothing():
    logits = torch.randn(5, 12, requires_grad=True)
    values = torch.randint(-1, 2, (5, 12))
    loss = unit_loss(logits, values)
    known = values >= 0
    expected = functional.binary_cross_entropy_with_logits(logits[known], values[known].float())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert (logits.grad[~known] == 0).all() and (logits.grad[known] != 0).all()
    nothing = unit_loss(logits, torch.full((5, 12), -1))
    assert nothing.item() == 0


def test_the_joint_loss_takes_units_and_weights():
    logits, values = torch.randn(4, 3), torch.tensor([[1, 0, -1], [0, 0, 1], [0, 1, 1], [0, 0, 1]])
    weights = unit_weights(values)
    assert weights.tolist() == [3.0, 3.0, 0.0]
    no_flow, nothing = torch.zeros(4, 1, 2, 2, 2), torch.zeros(4, 1, 68, 2)
    terms = joint_loss(
        logits=logits, labels=values, flow=None, true_flow=no_flow, landmarks=None,
        true_landmarks=nothing, flow_weight=1, landmark_weight=1, class_weights=weights,
    )  # fmt: skip
    assert terms.expression.item() == pytest.approx(unit_loss(logits, values, weights).item())


def test_processes_that_share_a_batch_learn_what_one_would():
    logits, values = torch.randn(8, 12), torch.randint(-1, 2, (8, 12))
    parts = [slice(0, 4), slice(4, 8)]
    shared = [unit_loss(logits[one], values[one]) * known_share(values, one) for one in parts]
    assert sum(shared).item() == pytest.approx(unit_loss(logits, values).item(), rel=1e-5)


def test_several_units_may_be_sure_at_once():
    logits = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0]])
    assert (phase_mean(logits, several=True) > 0.5).tolist() == [True, True, False]
    assert phase_mean(logits).sum().item() == pytest.approx(1)


@given(seed=st.integers(0, 10**6), unknown=st.sampled_from([0.0, 0.3, 0.9]))
@settings(max_examples=4, deadline=None, derandomize=True)
def test_scores_are_those_of_scikit_learn_averaged_as_cd6me_does(seed, unknown):
    rng = np.random.default_rng(seed)
    truth = (rng.random((40, 12)) < 0.3).astype(int)
    truth[rng.random(truth.shape) < unknown] = -1
    said = rng.random((40, 12)) < 0.4
    databases = rng.choice(list(CD6ME), 40).tolist()

    def of(rows):
        return [
            f1_score(truth[rows, u][known], said[rows, u][known], zero_division=0)
            if (known := truth[rows, u] >= 0).any()
            else 0.0
            for u in range(12)
        ]

    scores = unit_scores(truth, said, databases, UNIT_CLASSES)
    np.testing.assert_allclose(list(scores["f1_of_unit"].values()), of(np.arange(40)))
    assert scores["f1_over_units"] == pytest.approx(np.mean(of(np.arange(40))))
    means = [np.mean(of(np.flatnonzero(np.array(databases) == name))) for name in set(databases)]
    assert scores["f1_over_databases"] == pytest.approx(np.mean(means))


def test_what_is_unknown_is_not_scored():
    truth = np.array([[1, -1], [0, 1]])
    for guess in (True, False):
        said = np.array([[True, guess], [False, True]])
        np.testing.assert_array_equal(binary_f1(truth, said), [1, 1])


@pytest.fixture(scope="module")
def run(six, tmp_path_factory):
    """CD6ME with a tiny network and two steps, on clips as if of the owners."""
    out = tmp_path_factory.mktemp("run") / "run"
    result = invoke(
        main, "fit", "--protocol", "cd6me", *given_as_options(six[False]), "--out", out,
        *QUICK,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return out, result.stdout


def test_every_database_is_tested_and_scored(run):
    out, _ = run
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["videos"], metrics["folds"]) == (18, 6)
    assert metrics["label_mapping"] == "action-units"
    assert set(metrics["by_database"]) == set(CD6ME)
    assert "recognition" not in metrics and "confusion" not in metrics
    scores = metrics["action_units"]
    assert scores["unknown"] == 12 and scores["shown"]["AU1"] == 6
    # Every unit is shown by one clip in three, AU6 and AU12 by one of two that are known.
    assert metrics["always_yes"]["f1_over_units"] == pytest.approx((10 * 1 / 2 + 2 * 2 / 3) / 12)
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["truth"] for row in rows[:3]] == [
        "AU1+AU2+AU5",
        "AU4+AU6?+AU7+AU9+AU12?",
        "AU6+AU10+AU12+AU14+AU15+AU17",
    ]
    for row in rows:
        sure = [name for name in UNIT_CLASSES if float(row[f"p_{name}"]) >= 0.5]
        assert row["predicted"] == "+".join(sure)


def test_published_numbers_stand_beside_real_data_only(run):
    out, shown = run
    assert "SSSNet               40.5 % / 38.4 %" in shown
    assert "SSSNet" in (out / "report.html").read_text()
    assert "action units" in (out / "MODEL_CARD.md").read_text()
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["published"]) == set(PUBLISHED)
    for change in (
        {"synthetic": True},
        {"folds": 5},
        {"databases": ["samm"]},
        {"selection": "test-best"},
        {"shuffled_labels": True},
        {"label_mapping": "3"},
    ):
        assert published_units(metrics | change) == {}
    assert "SSSNet" not in result_text({**metrics, "published": {}})


def test_a_run_goes_on_and_its_model_can_be_tested_but_draws_no_film(run, six, tmp_path):
    out, _ = run
    again = invoke(
        main, "fit", "--protocol", "cd6me", *given_as_options(six[False]), "--out", out,
        *QUICK,
    )  # fmt: skip
    assert again.exit_code == 0 and again.stdout == run[1]
    checkpoint = out / "folds/samm"
    (samm,) = [path for path in six[False] if path.name.startswith("samm")]
    tested = invoke(
        main, "evaluate", "--checkpoint", checkpoint, "--shards", samm, "--out", tmp_path / "e",
        "--device", "cpu",
    )  # fmt: skip
    assert tested.exit_code == 0, tested.output
    first, second = (
        {row["clip"]: row for row in csv.DictReader(text.splitlines()) if row["database"] == "samm"}
        for text in (
            (out / "predictions.csv").read_text(),
            (tmp_path / "e/predictions.csv").read_text(),
        )
    )
    assert all(first[clip]["p_AU1"] == second[clip]["p_AU1"] for clip in first)
    film = invoke(
        main, "predict", samm / MANIFEST_NAME, "--checkpoint", checkpoint, "--out", tmp_path / "p"
    )
    assert film.exit_code == 6  # units are no hindrance: a manifest is no film
    compared = invoke(main, "compare", out, out)
    assert compared.exit_code == 0 and "f1 over units" in compared.stdout


def test_a_model_of_units_is_chosen_by_its_f1_and_weighs_rare_ones(six, tmp_path):
    result = invoke(
        main, "fit", "--protocol", "cd6me", *given_as_options(six[True]), "--out", tmp_path / "run",
        *QUICK, "--folds", "samm", "--selection", "validation",
        "--set", "training.evaluate_every=1", "--set", "training.class_weights=balanced",
        "--set", "data.shuffle_labels=true",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "SYNTHETIC" in result.stdout and "SSSNet" not in result.stdout
    record = json.loads((tmp_path / "run/folds/samm/best.json").read_text())
    assert record["mapping"] == "action-units" and 0 <= record["score"] <= 1


def test_right_means_every_known_unit():
    video = VideoPrediction(
        fold="f", database="d", subject="s", clip="c", label=0, probabilities=(0.9, 0.2, 0.7),
        end_point_error=0, zero_flow_error=0, nme=(0,), mean_shape_nme=0, units=(1, 0, -1),
    )  # fmt: skip
    assert video.is_right
    assert Sample("p", 0, units=(1, 0, -1)).holds == (0,)
