"""What has a name in one place is spelled nowhere else."""

import ast
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mol_model.config import run_layout
from mol_model.scoring import documents
from mol_model.scoring.evaluation import pooled_metrics
from mol_model.scoring.predictions import VideoPrediction
from mol_model.scoring.scores import ALL_SCORES, SCORES, TASK_TITLES, scores_of
from mol_model.training.seeding import Stream, seed_of

ROOT = Path(__file__).parents[2]
FILES = {
    value for name, value in vars(run_layout).items() if name.endswith("_NAME") and "." in value
}


def spelled(path):
    """Texts of a module, each a whole constant or a piece of an f-string."""
    tree = ast.parse(path.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def test_no_module_spells_the_name_of_a_file_of_a_run():
    assert len(FILES) >= 14
    own = ROOT / "mol_model/config/run_layout.py"
    again = {
        (path.relative_to(ROOT).as_posix(), text)
        for path in (ROOT / "mol_model").rglob("*.py")
        if path != own
        for text in spelled(path)
        if text in FILES or text == run_layout.SEED_PREFIX
    }
    assert not again


def video(label, probabilities):
    return VideoPrediction(
        "f", "samm", "006", str(label), label, probabilities, 0.5, 0.7, (0.1,), 0.2
    )


def test_the_table_of_scores_is_what_is_computed_and_what_is_read_back():
    metrics = pooled_metrics([video(0, (0.7, 0.3)), video(1, (0.6, 0.4))], ("a", "b"))
    of_units = [
        replace(video(0, (0.7, 0.3)), units=(1, 0)),
        replace(video(1, (0.6, 0.4)), units=(1, 1)),
    ]
    metrics = pooled_metrics(of_units, ("AU1", "AU2")) | metrics
    for score in ALL_SCORES:
        assert score.of(metrics) is not None, score.key
        assert (score.of_trivial(metrics) is None) is (score.trivial is None), score.key
        assert score.of({}) is None
    assert documents.Metrics.model_validate(metrics)
    checked = {
        "recognition": "_Recognition",
        "action_units": "_ActionUnits",
        "flow": "_Flow",
        "landmarks": "_Landmarks",
    }
    for task in TASK_TITLES:
        known = {score.key for score in scores_of(task)}
        trivial = {score.trivial.key for score in scores_of(task) if score.trivial}
        fields = set(getattr(documents, checked[task]).model_fields) - {"not_scored"}
        assert fields == known | trivial
    better = {key: score.better for key, score in SCORES.items()}
    assert better["accuracy"] == "higher"
    assert better["inter_ocular_nme_percent"] == "lower"
    assert SCORES["unweighted_f1"].text(0.25) == "25.0 %"


@pytest.mark.parametrize("stream", Stream)
def test_a_stream_keeps_the_numbers_that_it_has_always_drawn_from(stream):
    bare = ["WEIGHTS", "ORDER", "VIEW", "DROPOUT", "FLOW_PAIRS", "VALIDATION", "SHUFFLED_LABELS"]
    number = bare.index(stream.name)
    mixed = np.random.SeedSequence([3, zlib.crc32(b"samm-006"), number, 17])
    assert seed_of(3, "samm-006", stream, 17) == int(mixed.generate_state(1, np.uint64)[0] >> 1)
