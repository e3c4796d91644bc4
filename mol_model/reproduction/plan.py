"""The runs that a table or figure needs, over the shards that are given."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mol_model.clips.shards import ShardSet
from mol_model.config.run_layout import seed_directory
from mol_model.config.settings import RunConfig, resolve_settings
from mol_model.protocols.folds import Fold, make_folds
from mol_model.reproduction.document import Reproduction, Row, read_reproduction
from mol_model.reproduction.given import match_shards
from mol_model.reproduction.units import PeerUnit, Unit
from mol_model.runs.options import RunOptions
from mol_model.runs.run import fit_to_data, load_data, select_folds
from mol_model.runs.seeds import refuse_repeated
from mol_pipeline.contract.errors import ConfigError


@dataclass(frozen=True)
class ReproductionRequest:
    """A table or figure as the command line asks for it."""

    name: str
    """Of a document that comes with the program, or path of another."""
    shards: tuple[Path, ...]
    options: RunOptions
    """Of all runs; its folds are those of the document if empty."""
    preset: str = "paper"
    overrides: tuple[str, ...] = ()
    """`key=value`; what a row is about wins over them."""
    seeds: tuple[int, ...] = ()
    """Those of the document if empty."""
    peers: tuple[tuple[str, str], ...] = ()
    """Name of a row, and the predictor that it is to be computed by."""
    peer_weights: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be done for a table or figure."""

    document: Reproduction
    request: ReproductionRequest
    units: tuple[Unit, ...]
    peers: tuple[PeerUnit, ...]
    missing: dict[str, str]
    """Run -> words for the shards that were not given."""
    unused: tuple[Path, ...]
    """Shards that were given and that no row needs."""

    @property
    def synthetic(self) -> bool:
        """Whether any number is made from demo data."""
        used = [unit.data for unit in self.units] + [peer.data for peer in self.peers]
        return any(data.synthetic for data in used)

    def units_of(self, run: str) -> list[Unit]:
        """The seeds of a run."""
        return [unit for unit in self.units if unit.run == run]

    def text(self) -> str:
        """The runs, what is done of them, and what cannot be done."""
        mark = "SYNTHETIC data: " if self.synthetic else ""
        width = max(len(row.run) for row in self.document.rows) + 2
        lines = [
            f"{mark}{self.document.source}: {self.document.title}",
            f"{'run':{width}} {'seed':>5} {'folds':>6} {'done':>5} {'steps':>7} {'clips':>7}",
        ]
        lines += [
            f"{unit.run:{width}} {unit.seed:5} {len(unit.folds):6} {unit.finished:5} "
            f"{unit.config.training.steps:7} {len(unit.data.video_of_clip):7}"
            for unit in self.units
        ]
        lines += [
            f"{peer.row.run:{width}} by {peer.predictor}"
            if peer.predictor
            else f"{peer.row.run:{width}} weights not installed: {peer.row.how}"
            for peer in self.peers
        ]
        lines += [f"{run:{width}} shards not given: {words}" for run, words in self.missing.items()]
        lines += [f"{path}: no row of {self.document.source} needs it" for path in self.unused]
        return "\n".join(lines)


def make_plan(request: ReproductionRequest) -> Plan:
    """Plan a table or figure over the shards that are given.

    Raises:
        ConfigError: If there is no such document, a setting or a peer is wrong, no row can
            be made from the shards, or `out` holds other runs.
        ManifestError: If a manifest or a shard cannot be read.
        TrainingError: If the shards make no fold.
    """
    document = read_reproduction(request.name)
    seeds = request.seeds or document.seeds
    refuse_repeated(seeds)
    predictors = _named_peers(document, request)
    found, absent = match_shards(document.data, request.shards)
    rows, missing = _rows_to_make(document, absent)
    opened: dict[tuple[object, ...], ShardSet] = {}
    units: list[Unit] = []
    peers: list[PeerUnit] = []
    for row in rows:
        of_seeds = [_settings(document, row, request, seed) for seed in seeds]
        paths = [found[key] for key in row.data]
        data = _opened(opened, paths, document.mapping_of(row), of_seeds[0])
        if row.peer is not None:
            chosen, _ = _folds(document, request, data, of_seeds[0])
            place = request.options.out / row.run
            peers.append(PeerUnit(row, data, chosen, place, predictors.get(row.name)))
            continue
        units += [_unit(document, request, row, data, config) for config in of_seeds]
    if not request.options.overwrite:
        for unit in units:
            unit.check_directory()
    if not units and not any(peer.predictor for peer in peers):
        words = "; ".join(dict.fromkeys(missing.values()))
        raise ConfigError(
            f"{request.name}: none of its rows can be made: shards not given: {words}"
        )
    return Plan(
        document=document,
        request=request,
        units=tuple(units),
        peers=tuple(peers),
        missing=missing,
        unused=tuple(path for path in request.shards if path not in found.values()),
    )


def _rows_to_make(
    document: Reproduction, absent: dict[str, str]
) -> tuple[list[Row], dict[str, str]]:
    """One row of each run whose shards are given; words for the others, by run."""
    rows: list[Row] = []
    missing: dict[str, str] = {}
    for row in {row.run: row for row in document.rows}.values():
        lacking = [absent[key] for key in row.data if key in absent]
        if lacking:
            missing[row.run] = "; ".join(lacking)
        else:
            rows.append(row)
    return rows, missing


def _opened(
    opened: dict[tuple[object, ...], ShardSet],
    paths: Sequence[Path],
    mapping: str,
    config: RunConfig,
) -> ShardSet:
    """The shards of a row, opened once for all rows that take the same of them."""
    key = (*paths, mapping, config.protocol.name)
    if key not in opened:
        opened[key] = load_data(paths, mapping, config)
    return opened[key]


def _folds(
    document: Reproduction, request: ReproductionRequest, data: ShardSet, config: RunConfig
) -> tuple[tuple[Fold, ...], int]:
    """The folds that are asked for, and how many the protocol has."""
    folds = make_folds(data.samples, data.classes, config.protocol)
    return tuple(select_folds(folds, request.options.folds or document.folds)), len(folds)


def _unit(
    document: Reproduction,
    request: ReproductionRequest,
    row: Row,
    data: ShardSet,
    config: RunConfig,
) -> Unit:
    chosen, count = _folds(document, request, data, config)
    seed = config.training.seed
    return Unit(
        run=row.run,
        seed=seed,
        config=fit_to_data(config, data),
        data=data,
        folds=chosen,
        folds_of_protocol=count,
        directory=seed_directory(request.options.out / row.run, seed),
    )


def _settings(
    document: Reproduction, row: Row, request: ReproductionRequest, seed: int
) -> RunConfig:
    """Settings of a row: preset, then the user's, then what the row is about."""
    of_row = (f"{key}={json.dumps(value)}" for key, value in row.settings.items())
    config = resolve_settings(request.preset, None, (*request.overrides, *of_row), seed)
    return config.model_copy(update={"protocol": document.protocol_of(row)})


def _named_peers(document: Reproduction, request: ReproductionRequest) -> dict[str, str]:
    """Predictors by the exact name of their row."""
    rows = {row.name.lower(): row.name for row in document.rows if row.peer}
    return {_peer_row(name, rows, request.name): predictor for name, predictor in request.peers}


def _peer_row(name: str, rows: dict[str, str], document: str) -> str:
    if name.lower() not in rows:
        there = f"its peers are {', '.join(rows.values())}" if rows else "it has no peers"
        raise ConfigError(f"--peer {name}: no such row in {document}; {there}")
    return rows[name.lower()]
