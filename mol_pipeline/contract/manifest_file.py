"""`manifest.json`: written by rename with its own hash, read as the bytes that were written."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mol_pipeline.contract.documents import (
    Unreadable,
    parse_json,
    read_document,
    repr_of,
    shortened,
)
from mol_pipeline.contract.errors import ManifestError
from mol_pipeline.contract.files import hash_document, is_plain_file, path_beside, write_atomically
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.shard_layout import READABLE_VERSIONS
from mol_pipeline.contract.validation import first_problem

MANIFEST_NAME = "manifest.json"
HASH_FIELD = "manifest_sha256"
"""The field that `write_manifest` adds and `read_manifest` takes off."""


def manifest_bytes(manifest: Manifest) -> bytes:
    """The file's content; equal manifests give equal bytes."""
    document = manifest.model_dump(mode="json")
    if manifest.schema_version > 1:
        document[HASH_FIELD] = hash_document(document)
    return _file_bytes(document)


def _file_bytes(document: dict[str, Any]) -> bytes:
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()


def write_manifest(manifest: Manifest, directory: Path) -> Path:
    """Write `manifest.json` into the directory of its shards, by rename."""
    path = directory / MANIFEST_NAME
    write_atomically(path, manifest_bytes(manifest))
    return path


REBUILD = "build the shards again (molprep build ... --overwrite) or fetch the file anew"


def read_manifest(directory: Path) -> Manifest:
    """Read a manifest and prove that it is the one that was written.

    Its records are not compared with each other here; see `mol_pipeline.contract.agreement`.

    Raises:
        ManifestError: If it is absent, a link, not JSON, of another schema version, does not
            validate, names a shard outside the directory, or was changed after it was written.
    """
    path = directory / MANIFEST_NAME
    content = _content(directory, path)
    try:
        document = parse_json(content)
        version = document.get("schema_version")
        as_written = version == 1 or content == _file_bytes(document)
        stored_hash = document.pop(HASH_FIELD, None)
        rest = json.dumps(document)
        own_hash = hash_document(document)
    except (ValueError, AttributeError, RecursionError) as error:
        raise ManifestError(
            f"{path}: is not a JSON object ({shortened(error)}); {REBUILD}"
        ) from error
    if type(version) is not int or version not in READABLE_VERSIONS:
        raise ManifestError(
            f"{path}: schema version {shortened(repr_of(version))}, this program reads "
            f"{' and '.join(map(str, READABLE_VERSIONS))}; "
            "rebuild the shards with this version of molprep"
        )
    try:
        manifest = Manifest.model_validate_json(rest)
    except ValidationError as error:
        raise ManifestError(
            f"{path}: {first_problem(error)} ({error.error_count()} problem(s)); {REBUILD}"
        ) from error
    for shard in manifest.shards:
        path_beside(path, shard.file)
    if stored_hash != (own_hash if version > 1 else None):
        raise ManifestError(
            f"{path}: was changed after it was written: its content does not fit its {HASH_FIELD}; "
            f"{REBUILD}"
        )
    if not as_written:
        raise ManifestError(
            f"{path}: was changed after it was written: its bytes are not in molprep's form; "
            f"{REBUILD}"
        )
    return manifest


def _content(directory: Path, path: Path) -> bytes:
    if not path.exists() and not path.is_symlink():
        raise ManifestError(
            f"{directory}: no {MANIFEST_NAME}; build shards first with "
            "'molprep build --dataset NAME --root DIR --out DIR', or finish an interrupted build"
        )
    if not is_plain_file(path):
        raise ManifestError(
            f"{path}: is no plain file but a link, folder or device, and is not followed; "
            "link the whole directory instead"
        )
    try:
        return read_document(path)
    except (OSError, Unreadable) as error:
        raise ManifestError(f"{path}: {error}; {REBUILD}") from error
