"""Settings from YAML and `key.sub=value` overrides, for both commands."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mol_pipeline.contract.documents import (
    Unreadable,
    a_kind,
    parse_yaml,
    read_yaml,
    repr_of,
    shortened,
)
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.files import canonical_json

Model = TypeVar("Model", bound=BaseModel)


def load_settings(
    kind: type[Model],
    path: Path | None,
    overrides: tuple[str, ...] = (),
    *,
    base: dict[str, Any] | None = None,
    known: tuple[str, ...] = (),
) -> Model:
    """Build settings from defaults, a YAML file, then overrides; later wins.

    Args:
        kind: The settings model.
        path: YAML file, or None.
        overrides: `key.sub=value` each, the value as YAML.
        base: What the file is laid over, e.g. a preset.
        known: Names of settings beside those that `kind` itself declares.

    Raises:
        ConfigError: If the file is no mapping, or a setting is unknown or wrong; an
            unknown name is answered with the nearest known one.
    """
    document: dict[str, Any] = {}
    _merge(document, base or {})
    if path is not None:
        _merge(document, _read(path))
    for override in overrides:
        _merge(document, _parse_override(override))
    try:
        return kind.model_validate_json(canonical_json(document))
    except ValidationError as error:
        where = str(path) if path else "settings"
        raise ConfigError(f"{where}: {_describe((*_names(kind), *known), error)}") from error
    # A YAML date is no JSON value; a list or a number cannot be compared with a name.
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path or 'settings'}: {shortened(error)}") from error


def named_in(path: Path, key: str) -> Any:
    """What a file of settings has under a key, unchecked; None if nothing.

    Raises:
        ConfigError: If the file is no mapping.
    """
    return _read(path).get(key)


def dump_settings(settings: BaseModel) -> str:
    """YAML text that `load_settings` reads back to the same settings."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        loaded = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a YAML file with settings") from None
    except Unreadable as error:
        raise ConfigError(f"{path}: cannot be read as YAML: it {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: holds {a_kind(loaded)}, settings are a mapping")
    return loaded


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {shortened(override)!r}: must read key=value, e.g. group.name=3")
    try:
        value = parse_yaml(text)
    except Unreadable as error:
        raise ConfigError(f"--set {shortened(override)!r}: the value {error}") from error
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _merge(document: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict):
            below = document.get(key)
            document[key] = below if isinstance(below, dict) else {}
            _merge(document[key], value)
        else:
            document[key] = value


def _describe(known: Sequence[str], error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(where, known, n=1, cutoff=0.0)
            problems.append(f"{where}: no such setting; did you mean {near[0]}?")
        elif not where:  # settings that do not go together; the message names them
            problems.append(shortened(problem["msg"].removeprefix("Value error, ")))
        else:
            problems.append(
                f"{where}: {problem['msg']} (got {shortened(repr_of(problem['input']))})"
            )
    return "; ".join(problems)


def _names(kind: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in kind.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += _names(field.annotation, f"{prefix}{name}.")
    return names
