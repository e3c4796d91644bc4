"""Rows of other people's predictors, scored on the same videos by the same metrics."""

import json
from pathlib import Path
from typing import Any

from mol_model.reproduction.units import PeerUnit
from mol_model.scoring.peers import NotInstalled, evaluate_peer, load_flow_predictor, load_predictor
from mol_pipeline.contract.documents import Unreadable, read_json_object
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import hash_file, write_atomically

PEER_NAME = "peer.json"
"""In the directory of a peer's row."""


def evaluate_peer_row(peer: PeerUnit, weights: Path | None, crop_px: int) -> None:
    """Score a peer and keep its scores in its directory; what is there is not done again.

    A predictor that is known but not installed leaves nothing: its row says so.

    Raises:
        ConfigError: If the predictor cannot be imported.
        TrainingError: If it answers in another shape, or its weights are no weights of it.
    """
    identity = _identity(peer, weights)
    if peer.predictor is None or _read(peer.directory).get("identity") == identity:
        return
    flow = landmarks = None
    if peer.row.peer == "flow":
        found = load_flow_predictor(peer.predictor, weights)
        if isinstance(found, NotInstalled):
            return
        flow = found
    else:
        landmarks = load_predictor(peer.predictor)
    metrics = evaluate_peer(peer.data, peer.folds, flow=flow, landmarks=landmarks, crop_px=crop_px)
    peer.directory.mkdir(parents=True, exist_ok=True)
    document = {"identity": identity, "metrics": metrics}
    write_atomically(peer.directory / PEER_NAME, (json.dumps(document, indent=1) + "\n").encode())


def forget_peer(peer: PeerUnit) -> None:
    """Remove the scores of a peer, to start anew."""
    (peer.directory / PEER_NAME).unlink(missing_ok=True)


def peer_metrics(peer: PeerUnit, weights: Path | None) -> dict[str, Any] | None:
    """Scores of a peer that was evaluated on these shards, None if it was not."""
    document = _read(peer.directory)
    if document.get("identity") != _identity(peer, weights):
        return None
    return dict(document["metrics"])


def _identity(peer: PeerUnit, weights: Path | None) -> dict[str, Any]:
    """What a peer's scores belong to."""
    used = weights is not None and weights.is_file() and ":" not in (peer.predictor or "")
    return {
        "predictor": peer.predictor,
        "weights_sha256": hash_file(weights) if used and weights else None,
        "manifest_hash": peer.data.manifest_hash,
        "folds": [fold.name for fold in peer.folds],
    }


def _read(directory: Path) -> dict[str, Any]:
    try:
        return read_json_object(directory / PEER_NAME)
    except FileNotFoundError:
        return {}
    except Unreadable as error:
        raise ManifestError(f"{directory / PEER_NAME}: {error}; remove it") from error
