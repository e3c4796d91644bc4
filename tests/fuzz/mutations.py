"""Damage that knows the shape of what it damages: values of documents, bytes of files, archives."""

import copy
import io
import json
import random
import zipfile
from typing import Any

import yaml

ATOMS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0),
    *(1e308, float("nan"), float("inf"), "", " ", "x", "0", "-1", "nan", "=1+1", "..", ".", "/"),
    *("../../x", "/etc/passwd", "C:\\x", "a\0b", "a\nb", "\ud800", "🙂", "é", "x" * 5000, "{}"),
    *([], {}, [[]], [{}], {"": ""}, [None], [1, "1"], {"folds": []}, "shard-00000.h5"),
)
"""Values that programs forget."""

TOKENS = (
    *(b"", b"\0", b"\xff", b"\xfe\xff", b"\r\n", b"\n" * 50, b'"', b"'", b",", b";", b"\t", b"{"),
    *(b"}", b"[", b"]", b":", b"- ", b"&a ", b"*a", b"<<: ", b"? ", b"!!int ", b"!!float ", b"%"),
    *(b"!!timestamp ", b"!!python/object:os.system ", b"9" * 60, b"9" * 5000, b"1e999", b"NaN"),
    *(b"-Infinity", b"../../x", b"/etc/passwd", b"\xef\xbb\xbf", b"\x1a", b"[" * 3000, b"null"),
)


def damaged(rng: random.Random, content: bytes) -> bytes:
    """A valid file with a few things wrong, by what it seems to be."""
    kind = rng.random()
    if kind < 0.55:
        for load, dump in ((_load_json, _dump_json), (_load_yaml, _dump_yaml)):
            value = load(content)
            if isinstance(value, dict | list):
                return dump(_damaged_value(rng, value))
    if content[:2] == b"PK" and kind < 0.75:
        return _damaged_archive(rng, content)
    return _damaged_bytes(rng, content)


def _damaged_value(rng: random.Random, value: Any) -> Any:
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        value = _one_change(rng, value)
    return value


def _one_change(rng: random.Random, value: Any) -> Any:
    places: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        one = todo.pop()
        keys = one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in list(keys):
            places.append((one, key))
            todo.append(one[key])
    if not places or rng.random() < 0.03:
        return rng.choice(ATOMS)
    parent, key = rng.choice(places)
    change = rng.randrange(7)
    if change == 0:
        del parent[key]
    elif change == 1 and isinstance(parent, dict):
        parent[rng.choice(("x", "", 7, None, "folds", str(key) + " "))] = parent.pop(key)
    elif change == 2 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif change == 3:
        parent[key] = rng.choice(([parent[key]], {"x": parent[key]}, str(parent[key])))
    elif change == 4:
        other, name = rng.choice(places)
        parent[key] = copy.deepcopy(other[name]) if name in _keys(other) else None
    elif change == 5:
        parent[key] = _nearby(rng, parent[key])
    else:
        parent[key] = copy.deepcopy(rng.choice(ATOMS))
    return value


def _keys(value: Any) -> Any:
    return value if isinstance(value, dict) else range(len(value))


def _nearby(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value - 1, -value, value * 10**6, float(value), str(value)))
    if isinstance(value, str):
        return rng.choice((value.upper(), value[:-1], value + "\0", value * 2, value[::-1]))
    return rng.choice(ATOMS)


def _load_json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _dump_json(value: Any) -> bytes:
    return json.dumps(value, skipkeys=True).encode("utf-8", "surrogatepass")


def _load_yaml(content: bytes) -> Any:
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError):
        return None


def _dump_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


def _damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(out) + 1)
        change = rng.randrange(6)
        if change == 0 and out:
            out[at % len(out)] = rng.randrange(256)
        elif change == 1:
            out[at:at] = rng.choice(TOKENS)
        elif change == 2:
            del out[at : at + rng.choice((1, 2, 10, 100))]
        elif change == 3:
            end = at + rng.choice((1, 10, 200))
            out[at:at] = out[at:end] * rng.choice((1, 1, 3))
        elif change == 4:
            end = at + rng.choice((1, 4, 30))
            out[at:end] = rng.choice(TOKENS)
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def _damaged_archive(rng: random.Random, content: bytes) -> bytes:
    """An archive that is whole and holds one damaged member."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    name = rng.choice(sorted(members))
    members[name] = _damaged_bytes(rng, members[name])
    if rng.random() < 0.1:
        members.pop(rng.choice(sorted(members)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, held in members.items():
            archive.writestr(member, held)
    return out.getvalue()
