"""Reading JSON and YAML that may hold anything: a value, or one sentence that says what is wrong.

Files come from other machines and from people. A pipe never ends, a megabyte of brackets exhausts
the stack, ten lines of YAML can name a thousand million values. The limits are far above what the
programs write themselves; each says so when it is met.
"""

import contextlib
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 2 << 30
"""Of a JSON document. A manifest has 1 to 4 kB a video: this is half a million of them."""
MOST_SETTINGS_BYTES = 8 << 20
"""Of a YAML file. The longest of ours has 10 kB; PyYAML reads 0.2 MB a second."""
MOST_VALUES = 100_000
"""Of a YAML file, each counted as often as it is referred to."""
DEEPEST = 64
"""Levels of a YAML file; ours have 4."""
LONGEST_QUOTE = 200
"""Characters of foreign text in a message."""


class Unreadable(ValueError):
    """A file is no document that can be read; the message says why and does not name the file."""


def read_document(path: Path, most: int = MOST_BYTES) -> bytes:
    """All bytes of an ordinary file, whose disk is expected to answer.

    Args:
        path: Of the file.
        most: Bytes that it may have.

    Raises:
        FileNotFoundError: If there is none.
        Unreadable: If it cannot be read, is a pipe, a device or a folder, or is too large.
    """
    with _named_refusals():
        return read_ordinary(path, most)


def check_ordinary(path: Path) -> int:
    """Size of an ordinary file in bytes: what is opened after this ends; errors as above."""
    with _named_refusals():
        return _ordinary_size(path)


def read_ordinary(path: Path, most: int) -> bytes:
    """All bytes of an ordinary file; what the operating system refuses goes through as it is.

    Raises:
        OSError: If it refuses: the disk may be at fault and answer later.
        Unreadable: If the file is a pipe, a device or a folder, or is too large.
    """
    size = _ordinary_size(path)
    if size > most:
        raise Unreadable(f"has {size:,} bytes, at most {most:,} are read")
    return path.read_bytes()


def _ordinary_size(path: Path) -> int:
    try:
        state = path.stat()
    except ValueError as error:  # a name with a zero byte
        raise Unreadable(f"cannot be a file ({error})") from error
    if not stat.S_ISREG(state.st_mode):
        raise Unreadable(f"is {kind_of_file(state.st_mode)}, no ordinary file")
    return state.st_size


@contextlib.contextmanager
def _named_refusals() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror or error})") from error


def kind_of_file(mode: int) -> str:
    """What a file is, in words, by its mode."""
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((words for test, words in kinds if test(mode)), "a file")


def parse_json(content: bytes | str) -> Any:
    """A JSON value.

    Raises:
        Unreadable: If it is none, is nested too deeply, or has a number with thousands of digits.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise Unreadable("is nested too deeply for a document of ours") from None
    except ValueError as error:  # also bytes that are no text, and numbers that are too long
        raise Unreadable(f"is not JSON ({shortened(error)})") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object in a file.

    Raises:
        FileNotFoundError: If there is no file.
        Unreadable: If it holds anything else.
    """
    value = parse_json(read_document(path))
    if not isinstance(value, dict):
        raise Unreadable(f"holds {a_kind(value)}, not a JSON object")
    return value


def read_yaml(path: Path) -> Any:
    """A YAML value in a file.

    Raises:
        FileNotFoundError: If there is no file.
        Unreadable: If it holds anything else, or more than the limits above.
    """
    content = read_document(path, MOST_SETTINGS_BYTES)
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"is no text in UTF-8 ({shortened(error)})") from error


def parse_yaml(text: str) -> Any:
    """A YAML value: plain data, no objects.

    Raises:
        Unreadable: If it is none, or has more than the limits above.
    """
    try:
        return yaml.load(text, Loader=_Limited)  # a safe loader with limits
    except RecursionError:
        raise Unreadable(f"has more than {DEEPEST} levels") from None
    except Unreadable:
        raise
    # PyYAML makes numbers and dates with functions of Python, and lets their errors out.
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as e:
        raise Unreadable(f"is no YAML ({shortened(e)})") from e


class _Limited(yaml.SafeLoader):
    """A safe loader that counts values before it makes them."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values: dict[int, int] = {}
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._level += 1
        if self._level > DEEPEST:
            raise Unreadable(f"has more than {DEEPEST} levels")
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is None:
            return None
        if alias and id(node) not in self._values:
            raise Unreadable("refers to itself")
        if not alias:
            self._values[id(node)] = 1 + sum(self._values[id(one)] for one in _parts(node))
        if self._values[id(node)] > MOST_VALUES:
            raise Unreadable(f"has more than {MOST_VALUES:,} values, counted by reference")
        return node


# YAML 1.1 takes `1e-4` for a text, as it lacks the point; people and JSON write numbers so.
_Limited.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def a_kind(value: object) -> str:
    """What a value is, as JSON calls it."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    if value is None:
        return "nothing"
    return kinds.get(type(value), "a number")


def repr_of(value: object) -> str:
    """A value as Python writes it, also a number that is too long for that."""
    try:
        return repr(value)
    except ValueError:
        return "a number with thousands of digits"


def shortened(what: object, most: int = LONGEST_QUOTE) -> str:
    """Foreign text for a message: on one line, its middle left out if it is long."""
    text = " ".join(str(what).split())
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} ... {text[-most // 4 :]}"
