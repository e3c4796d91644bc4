"""Kills between any two calls to the system, neighbours, damaged logs, memory, identity."""

import json
import os
import shutil
import signal

import pytest
import torch
from torch import nn

from mol_model import launch
from mol_model.cli import main
from mol_model.clips.source import ClipSource
from mol_model.clips.sums import clip_statistics
from mol_model.config.mol import TINY
from mol_model.config.settings import RunConfig, TrainingConfig, settings_that_count
from mol_model.runs import directory as run_directory
from mol_model.runs import fold_jobs, holds
from mol_model.runs import run as runs
from mol_model.runs.directory import clear_run
from mol_model.runs.fold_jobs import FoldJob, Shared, run_fold
from mol_model.runs.holds import held_alone
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit, fit_to_data, load_data
from mol_model.runs.status import read_states
from mol_model.training.checkpoint import (
    CheckpointRecord,
    load_checkpoint,
    model_weights,
    record_path,
    save_checkpoint,
)
from mol_model.training.metric_log import MetricLog, read_metric_log
from mol_pipeline.contract.errors import ConfigError, TrainingError
from mol_pipeline.contract.records import Settings
from mol_pipeline.contract.stopping import STOP_SIGNALS
from tests.in_process import run_here
from tests.model.crashes import killed_at
from tests.model.shard_fixture import write_shards
from tests.tally import tally

CPU = torch.device("cpu")
KILLS = int(os.environ.get("MOL_TEST_KILLS", "4"))
"""Half of them of a whole fold; MOL_TEST_KILLS=1000 kills it at every call."""

SMALL = TINY.model_copy(update={"use_flow": False, "use_landmarks": False, "f5c_blocks": 0})
CONFIG = RunConfig(
    model=SMALL,
    training=TrainingConfig(steps=3, batch_size=2, log_every=1, checkpoint_every=1),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Data, settings that fit it, its folds and what they share."""
    shards = write_shards(tmp_path_factory.mktemp("shards"), subjects=2, phases=1, frames=2)
    data = load_data([shards], None, CONFIG)
    config = fit_to_data(CONFIG, data)
    folds = runs.make_folds(data.samples, data.classes, config.protocol)
    source = ClipSource(data, CPU)
    return data, config, folds, Shared(source, clip_statistics(source))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody waits long for a neighbour."""
    monkeypatch.setattr(holds, "PATIENCE_S", 0.3)


def layer(value):
    made = nn.Linear(2, 2)
    nn.init.constant_(made.weight, value)
    return made


RECORD = CheckpointRecord(
    config=RunConfig(),
    classes=("a", "b"),
    mapping="m",
    fold="f",
    step=0,
    mean=0.0,
    std=1.0,
    manifest_hash="",
    synthetic=True,
    selection="last",
)


def saved(path):
    record, tensors = load_checkpoint(path)
    return record.step, float(model_weights(tensors)["weight"][0, 0])


@pytest.mark.parametrize("layout", ["new", "old"])
def test_a_checkpoint_is_the_old_or_the_new_wherever_saving_is_killed(
    tmp_path, monkeypatch, layout
):
    at, finished = 0, False
    with tally("kills of a checkpoint between two calls") as tried:
        while not finished:
            at += 1
            path = tmp_path / f"{at}" / "a.b"  # a dot in its name
            path.parent.mkdir()
            save_checkpoint(path.with_name("a"), RECORD.model_copy(update={"step": 9}), layer(9.0))
            save_checkpoint(path, RECORD.model_copy(update={"step": 1}), layer(1.0))
            if layout == "old":
                (tensors,) = path.parent.glob("a.b.*.safetensors")
                tensors.rename(path.parent / "a.b.safetensors")
            with killed_at(monkeypatch, at) as kill:
                save_checkpoint(path, RECORD.model_copy(update={"step": 2}), layer(2.0))
                finished = True
            with tried():
                assert saved(path) in ({(2, 2.0)} if finished else {(1, 1.0), (2, 2.0)})
                save_checkpoint(path, RECORD.model_copy(update={"step": 3}), layer(3.0))
                assert saved(path) == (3, 3.0)
                assert saved(path.with_name("a")) == (9, 9.0)
                assert len(list(path.parent.glob("a.b.*.safetensors"))) == 1
    assert kill.count >= 7


def test_a_checkpoint_is_named_by_any_of_its_files(tmp_path):
    path = tmp_path / "mol.casme2"
    save_checkpoint(path, RECORD, layer(1.0))
    for name in (path, *tmp_path.iterdir()):
        assert record_path(name) == path


def results(run):
    """The numbers of a run: logs without times, predictions, weights."""
    logs = {
        path.parent.name: [
            {k: v for k, v in line.items() if k not in ("clips_per_second", "waiting")}
            for line in read_metric_log(path.parent)
        ]
        for path in sorted(run.glob("folds/*/metrics.jsonl"))
    }
    weights = {
        path.parent.name: {
            k: v.tolist() for k, v in load_checkpoint(record_path(path.parent))[1].items()
        }
        for path in sorted(run.glob("folds/*/checkpoint.json"))
    }
    return logs, weights, (run / "predictions.csv").read_text()


# A file that a killed process had open is closed by the system, here by the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_run_that_is_killed_between_any_two_calls_ends_with_the_same_numbers(
    prepared, tmp_path, monkeypatch
):
    data, config, folds, _ = prepared
    monkeypatch.setattr(fold_jobs, "draw_example", lambda *given: None)  # pictures: no numbers

    def run(out, **more):
        options = RunOptions(out=out, device="cpu", jobs=1, folds=(folds[0].name,), **more)
        return fit(data, config, options)

    whole = tmp_path / "whole"
    with killed_at(monkeypatch, None) as kill:
        run(whole)
    calls = kill.count
    assert calls > 50
    step = max(1, 2 * calls // KILLS)
    with tally("kills of a run between two calls") as tried:
        for at in range(1 + step // 2, calls + 1, step):
            out = tmp_path / f"killed-{at}"
            with killed_at(monkeypatch, at):
                run(out)
            with tried():
                run(out)
                assert results(out) == results(whole)
                assert not [*out.rglob("*.part"), *out.rglob("*.new.safetensors")]


@pytest.fixture
def once(prepared, tmp_path, monkeypatch):
    """A run of one fold, and its numbers."""
    data, config, folds, _ = prepared
    monkeypatch.setattr(fold_jobs, "draw_example", lambda *given: None)
    out = tmp_path / "run"

    def run(settings=config, of=folds[:1], *, overwrite=False, **more):
        names = tuple(fold.name for fold in of)
        options = RunOptions(out=out, device="cpu", jobs=1, folds=names, overwrite=overwrite)
        return fit(data, settings, options, **more)

    return run, out


def test_a_second_process_is_told_who_trains_a_fold_and_other_folds_go_on(
    prepared, once, monkeypatch
):
    run, out = once
    first, second = (fold.name for fold in prepared[2])
    words = rf"{first}: held by process {os.getpid()} on .* since"
    run(of=prepared[2][1:])
    shutil.rmtree(out / "folds" / second)
    with held_alone(out / "folds" / first):
        run(of=prepared[2][1:])  # another task of an array
        for overwrite in (False, True):
            with pytest.raises(TrainingError, match=words):
                run(overwrite=overwrite)
    assert {one.fold: one.state for one in read_states(out)} == {first: "waiting", second: "done"}
    for module in (runs, run_directory):
        monkeypatch.setattr(module, "TABLES_PATIENCE_S", 0.1)
    with held_alone(out), pytest.raises(TrainingError, match="run: held by process"):
        run()
    run()


def test_a_fold_that_another_process_finished_or_a_run_started_anew_is_left_alone(prepared, once):
    run, out = once
    _, config, folds, shared = prepared
    run()
    directory = out / "folds" / folds[0].name
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.suffix}
    run_fold(FoldJob(folds[0], config, directory), shared, lambda report: None)
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir() if path.suffix} == before
    with pytest.raises(TrainingError, match="started this run anew"):
        run_fold(FoldJob(folds[1], config, directory, "0" * 64), shared, lambda report: None)


def test_starting_anew_may_be_killed_anywhere(once, monkeypatch):
    run, out = once
    run()
    numbers = results(out)
    at, finished = 0, False
    with tally("kills while a run is started anew") as tried:
        while not finished:
            at += 1
            (out / "folds").mkdir(exist_ok=True)
            for name in ("folds/old", "peer.json", "run.json"):
                (out / name).write_text("{}")
            with killed_at(monkeypatch, at):
                clear_run(out)
                finished = True
            with tried():
                # What is finished is all there or gone, and the directory is still a run's.
                left = {one.name for one in out.iterdir() if not one.name.startswith(".")}
                assert not left or "run.json" in left
    run(overwrite=True)
    assert results(out) == numbers
    assert not list(out.glob(".old-*"))


LINES = [{"step": step, "total": 0.5} for step in (1, 2, 3)]


def test_a_last_line_that_is_not_whole_is_cut_off(tmp_path):
    text = "".join(json.dumps(line) + "\n" for line in LINES).encode()
    log = tmp_path / "metrics.jsonl"
    for end in range(len(text) + 1):
        log.write_bytes(text[:end])
        whole = text[:end].count(b"\n")
        assert read_metric_log(tmp_path) == LINES[:whole]
    for tail in (b"\0\0\0\n", b"{\n", b"[]\n", b'{"step": "x"}\n', b"\xff\n", b"\n", b"7\n"):
        log.write_bytes(text + tail)
        assert read_metric_log(tmp_path) == LINES
        with MetricLog(tmp_path, keep_steps=2) as continued:
            continued.write(3, {"total": 0.5}, 1.0, 0.0)
        assert [line["step"] for line in read_metric_log(tmp_path)] == [1, 2, 3]
        log.write_bytes(tail + text)
        with pytest.raises(TrainingError, match=r"metrics.jsonl: line 1 is no logged step"):
            read_metric_log(tmp_path)


def all_settings(settings, place=()):
    """The place of every single setting."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from all_settings(value, (*place, name))
        else:
            yield (*place, name)


def changed(settings, place, value):
    name, *rest = place
    if rest:
        value = changed(getattr(settings, name), rest, value)
    return settings.model_copy(update={name: value})


HOW = {
    ("data", "cache"): "stream",
    ("data", "cache_mb"): 1,
    ("data", "workers"): 0,
    ("training", "log_every"): 3,
    ("training", "checkpoint_every"): 2,
}
"""Settings of how the work is done, and another value of each."""

UNUSED = {
    ("training", "evaluate_every"),
    ("training", "validation_share"),
    ("training", "decay"),
    ("training", "decay_every"),
    ("training", "momentum"),
    ("protocol", "k"),
    ("protocol", "seed"),
}
"""Of other model choices, schedules, optimisers and protocols than the defaults."""


@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_only_what_changes_no_number_is_no_part_of_a_run():
    same = {
        place
        for place in all_settings(RunConfig())
        if settings_that_count(changed(RunConfig(), place, "another"))
        == settings_that_count(RunConfig())
    }
    assert same == set(HOW) | UNUSED
    for selection, count in (("last", 0), ("test-best", 1), ("validation", 2)):
        one = changed(RunConfig(), ("training", "selection"), selection)
        kept = {"evaluate_every", "validation_share"} & set(settings_that_count(one)["training"])
        assert len(kept) == count


def test_a_run_continues_with_other_settings_that_change_no_number(prepared, once):
    run, out = once
    config = prepared[1]
    run()
    _, weights, table = results(out)

    def interrupt(progress):
        if progress.step and progress.step.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(overwrite=True, on_progress=interrupt)
    other = config
    for place, value in HOW.items():
        other = changed(other, place, value)
    run(other)
    assert results(out)[1:] == (weights, table)
    with pytest.raises(ConfigError, match="another config_hash"):
        run(changed(config, ("training", "batch_size"), 3))


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.parametrize(
    "moment", ["resolve_settings", "load_data", "open_source", "evaluate_fold"]
)
def test_a_stop_signal_at_any_moment_ends_with_words_and_code(
    prepared, tmp_path, monkeypatch, number, moment
):
    """Before anything is read, while clips are read, while a fold is tested."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this session runs under nohup")
    module = next(one for one in (launch, runs, fold_jobs) if hasattr(one, moment))
    call = getattr(module, moment)

    def signalled(*given, **more):
        os.kill(os.getpid(), number)
        return call(*given, **more)

    shards = prepared[0].directories[0]
    arguments = ["loso", "--shards", shards, "--out", tmp_path / "run", "--preset", "tiny"]
    arguments += ["--device", "cpu", "--jobs", 1, "--folds", 0, "--steps", 1]
    arguments += ["--set", "model.use_flow=false", "--set", "training.flow_pairs=null"]
    monkeypatch.setattr(module, moment, signalled)
    done = run_here(main, *arguments)
    assert done.returncode == 75, done.stderr
    assert "stopped on request" in done.stderr
    assert "run again to continue" in done.stderr
    assert "Traceback" not in done.stderr
    assert signal.getsignal(number) == signal.SIG_DFL
