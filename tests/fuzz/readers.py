"""Every reader of a document of both programs, and small valid documents for each."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mol_model.clips.shards import ShardSet
from mol_model.config.mol import TINY
from mol_model.config.settings import RunConfig, TrainingConfig
from mol_model.networks.mol.build import build_network
from mol_model.protocols.plan import read_protocol
from mol_model.reports.comparison import compare_runs
from mol_model.reports.model_card import write_card
from mol_model.reproduction.document import read_reproduction
from mol_model.runs.directory import read_run
from mol_model.runs.status import read_states
from mol_model.scoring.evaluation import pooled_metrics
from mol_model.scoring.predictions import VideoPrediction, load_predictions, save_predictions
from mol_model.training.checkpoint import (
    CheckpointRecord,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from mol_model.training.metric_log import read_metric_log
from mol_model.training.release_import import import_release_file
from mol_pipeline.config import BuildConfig
from mol_pipeline.contract.files import hash_document
from mol_pipeline.contract.index_document import read_index
from mol_pipeline.contract.manifest_file import HASH_FIELD, MANIFEST_NAME, read_manifest
from mol_pipeline.contract.settings import dump_settings, load_settings
from mol_pipeline.databases.registry import ADAPTERS
from mol_pipeline.graph.batch import BatchSettings
from mol_pipeline.shards.files import directory_problems
from mol_pipeline.shards.merge import merge
from tests.databases.releases import affwild2, examples
from tests.fuzz.judge import allowed
from tests.model.shard_fixture import write_shards

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Reader:
    """One kind of document: valid ones, where a document lies, and what reads it."""

    name: str
    corpus: dict[str, bytes]
    """Path below the folder -> valid content; one of them is damaged at a time."""
    read: Callable[[Path], Any]
    weight: int = 4
    """Share of the inputs; slow readers have less."""
    beside: Path | None = None
    """A folder whose files lie there too, undamaged."""


def _settings(kind: type, *paths: Path) -> Reader:
    corpus = {"settings.yaml": dump_settings(kind()).encode()} if not paths else {}
    corpus |= {f"{path.stem}.yaml": path.read_bytes() for path in paths}

    def read(folder: Path) -> None:
        for path in folder.glob("*.yaml"):
            load_settings(kind, path)

    return Reader(f"settings {kind.__name__}", corpus, read)


def _prediction(fold: str, number: int) -> VideoPrediction:
    return VideoPrediction(
        fold=fold,
        database="samm",
        subject=f"00{number}",
        clip=f"00{number}_1_1",
        label=number % 2,
        probabilities=(0.75, 0.25),
        end_point_error=0.5,
        zero_flow_error=0.7,
        nme=(0.01, 0.02),
        mean_shape_nme=0.05,
    )


def write_run(out: Path) -> Path:
    """A run of two finished folds, one that failed and one that is at work."""
    config = RunConfig(model=TINY, training=TrainingConfig(steps=2))
    predictions = []
    for number, fold in enumerate(("samm-006", "samm-007")):
        of_fold = [_prediction(fold, 2 * number), _prediction(fold, 2 * number + 1)]
        (out / "folds" / fold).mkdir(parents=True)
        save_predictions(out / "folds" / fold, of_fold)
        lines = [json.dumps({"step": step, "loss": 1.5, "seconds": 0.1}) for step in (1, 2)]
        (out / "folds" / fold / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        predictions += of_fold
    for fold, name, content in (
        ("samm-008", "failed.json", {"message": "loss is not finite"}),
        ("samm-009", "running.json", {"host": "x", "process": 7, "job": "", "since": 1.5}),
    ):
        (out / "folds" / fold).mkdir()
        (out / "folds" / fold / name).write_text(json.dumps(content))
    folds = [path.name for path in sorted((out / "folds").iterdir())]
    identity = {
        "protocol": "loso",
        "label_mapping": "5",
        "manifest_hash": "0" * 64,
        "config_hash": "1" * 64,
        "started_from": None,
        "synthetic": True,
    }
    metrics = {
        **{key: identity[key] for key in ("synthetic", "label_mapping", "manifest_hash")},
        "databases": ["samm"],
        "protocol": "leave one subject out",
        "folds_of_protocol": 4,
        "selection": "last",
        "selection_means": "the last step's",
        "shuffled_labels": False,
        "init_from": None,
        "seed": 0,
        **pooled_metrics(predictions, ("anger", "other")),
    }
    (out / "run.json").write_text(json.dumps({**identity, "folds": folds}))
    (out / "metrics.json").write_text(json.dumps(metrics))
    (out / "config.yaml").write_text(dump_settings(config))
    return out


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _run(place: Path) -> Reader:
    whole = write_run(place / "whole-run")

    def read(folder: Path) -> None:
        for reads in (
            read_run,
            read_states,
            lambda out: compare_runs([whole, out]),
            write_card,
            lambda out: [load_predictions(fold) for fold in (out / "folds").glob("*-00[67]")],
            lambda out: [read_metric_log(fold) for fold in (out / "folds").iterdir()],
        ):
            with allowed(folder):
                reads(folder)

    return Reader("run directory", _files(whole), read, weight=3)


def _manifest(place: Path) -> list[Reader]:
    shards = write_shards(place / "shards", subjects=1, phases=1, frames=2)
    manifest = {MANIFEST_NAME: (shards / MANIFEST_NAME).read_bytes()}

    def join(folder: Path) -> None:
        shutil.rmtree(folder / "joined", ignore_errors=True)
        merge([folder], folder / "joined")

    def read_rehashed(folder: Path) -> None:
        """As somebody would change it who makes its hash anew."""
        path = folder / MANIFEST_NAME
        try:
            document = json.loads(path.read_bytes())
            document.pop(HASH_FIELD, None)
            document[HASH_FIELD] = hash_document(document)
            text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
            path.write_bytes(f"{text}\n".encode())
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass  # read as it is
        with allowed(folder):
            list(directory_problems(folder, read_manifest(folder)))
        with allowed(folder):
            ShardSet([folder]).read([0])

    return [
        Reader("manifest", manifest, read_manifest, weight=6),
        Reader("manifest with its hash", manifest, read_rehashed, weight=4, beside=shards),
        Reader("merge", manifest, join, weight=2, beside=shards),
    ]


def _index(place: Path) -> Reader:
    root = examples()["samm"].write(place / "indexed")
    document = ADAPTERS["samm"].index(root).document("5").model_dump_json().encode()
    return Reader(
        "index", {"index.json": document}, lambda folder: read_index(folder / "index.json")
    )


def _checkpoint(place: Path) -> list[Reader]:
    folder = place / "checkpoint"
    folder.mkdir()
    config = RunConfig(model=TINY)
    record = CheckpointRecord(
        config=config,
        classes=("a", "b", "c", "d", "e"),
        mapping="5",
        fold="samm-006",
        step=2,
        mean=0.4,
        std=0.2,
        manifest_hash="0" * 64,
        synthetic=True,
        people=("samm/006",),
        selection="last",
    )
    save_checkpoint(folder / "checkpoint", record, build_network(config.model))
    files = _files(folder)
    documents = {name: held for name, held in files.items() if name.endswith(".json")}

    def read(out: Path) -> None:
        with allowed(out):
            load_checkpoint(out / "checkpoint")
        with allowed(out):
            load_model(out, CPU)

    return [
        Reader("checkpoint JSON", documents, read, weight=2, beside=folder),
        Reader("checkpoint tensors", files, read, weight=1),
    ]


def _release() -> Reader:
    def saved(value: Any) -> bytes:
        held = io.BytesIO()
        torch.save(value, held)
        return held.getvalue()

    weights = {
        "module.mer_3dcnn.fc2.weight": torch.ones(3, 4),
        "module.mer_3dcnn.fc2.bias": torch.ones(3),
        "conv_stack.conv_stack.0.0.weight": torch.ones(2, 2),
    }
    corpus = {"state.pt": saved(weights), "wrapped.pt": saved({"state_dict": weights, "epoch": 3})}

    def read(folder: Path) -> None:
        for path in folder.glob("*.pt"):
            import_release_file(path)

    return Reader("checkpoint of the release", corpus, read, weight=1)


def _tables(place: Path) -> list[Reader]:
    readers = []
    releases = {name: examples()[name] for name in ("samm", "casme-sq", "smic-e-hs", "4dme")}
    for name, release in releases.items():
        root = release.write(place / name)
        table = {release.table: (root / release.table).read_bytes()}
        readers.append(Reader(f"table of {name}", table, ADAPTERS[name].index, 2, root))
    own = place / "own"
    (own / "v").mkdir(parents=True)
    for number in range(1, 5):
        (own / f"v/{number:03d}.png").touch()
    rows = "path,subject,label,onset,apex,offset,clip\nv,anna,joy,1,2,3,x\nv,ben,fear,,,,\n"
    texts = {"list.csv": rows.encode(), "other.csv": rows.replace(",", ";").encode("utf-16")}

    def read_own(folder: Path) -> None:
        for path in sorted(folder.glob("*.csv")):
            with allowed(folder):
                ADAPTERS["custom"].index(folder, annotation=path)

    readers.append(Reader("list of own videos", texts, read_own, 4, own))
    wild = affwild2({"v1": [0, 4, -1, 6]}, {"v1": [1, 2, 3, 4]})
    root = wild.write(place / "wild")
    labels = {name: held for name, held in _files(root).items() if name.endswith(".txt")}
    readers.append(Reader("labels of frames", labels, ADAPTERS["affwild2"].index, 2, root))
    return readers


def all_readers(place: Path) -> list[Reader]:
    """Every reader, its valid documents made below a folder."""
    protocols = sorted((ROOT / "manifests/protocols").glob("*.json"))
    return [
        *_manifest(place),
        _index(place),
        Reader(
            "protocol",
            {path.name: path.read_bytes() for path in protocols[:3]},
            lambda folder: [read_protocol(path) for path in folder.glob("*.json")],
        ),
        _settings(BuildConfig, *sorted((ROOT / "pipelines/build").glob("*.yaml"))),
        _settings(RunConfig),
        _settings(BatchSettings, *sorted((ROOT / "pipelines/cluster").glob("*.yaml"))),
        Reader(
            "reproduction",
            {
                path.name.replace("table", "mine"): path.read_bytes()
                for path in sorted((ROOT / "pipelines").glob("table-0*.yaml"))[:3]
            },
            lambda folder: [read_reproduction(str(path)) for path in folder.glob("*.yaml")],
        ),
        _run(place),
        *_checkpoint(place),
        _release(),
        *_tables(place),
    ]
