"""Which of the given shards each row of a table is made from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mol_model.reproduction.document import ShardsNeeded
from mol_pipeline.contract.agreement import read_consistent
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.manifest import Manifest


def match_shards(
    needs: Mapping[str, ShardsNeeded], directories: Sequence[Path]
) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the shards of every need; returns directories, and words for what is missing.

    Args:
        needs: By their key in the document.
        directories: Given by the user, each with a manifest.

    Raises:
        ManifestError: If a manifest is missing or damaged.
        ConfigError: If two directories are what one row needs.
    """
    manifests = {path: read_consistent(path) for path in directories}
    found: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for key, need in needs.items():
        alike = [path for path, manifest in manifests.items() if _is_of(need, manifest)]
        fitting = [path for path in alike if _difference(need, manifests[path]) is None]
        if len(fitting) > 1:
            raise ConfigError(
                f"--shards {fitting[0]} and {fitting[1]}: both hold {need.database} with clips of "
                f"{need.frames} frames; name one of them"
            )
        if fitting:
            found[key] = fitting[0]
        elif alike:
            different = _difference(need, manifests[alike[0]])
            missing[key] = f"{alike[0]} was built with {different}; {need.command()}"
        else:
            missing[key] = (
                f"{need.database} with clips of {need.frames} frames; make them by "
                f"'{need.command()}' and name them with --shards"
            )
    return found, missing


def _is_of(need: ShardsNeeded, manifest: Manifest) -> bool:
    return (manifest.database, manifest.frames_per_clip) == (need.database, need.frames)


def _difference(need: ShardsNeeded, manifest: Manifest) -> str | None:
    """A setting in which the shards were built otherwise; None if there is none on record."""
    for key, wanted in need.build.items():
        value = _setting(manifest.config, key)
        if value is not None and value != wanted:
            return f"{key}={value}, this row needs {key}={wanted}"
    return None


def _setting(document: dict[str, Any], key: str) -> Any:
    """Value at `group.name`, None where the manifest does not say."""
    value: Any = document
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value
