"""How databases write action units: from their text to `ActionUnits`.

    4+7   R12, L15   L12A+A/L7   B28   12L   AU1+AU2(k)   (R6 or R12)+R15   R14A or 17A   ?

A text is a choice (`or`) of sums (`+ , ; &`, a new line) of choices (`/`) of terms. A term is a
code, or a group in brackets, with words that are about all of it. A code is a number with marks
before it (L left, R right, A asymmetric, T top, B bottom, `A/L` both at once, `AU`) and signs
after it (A to E intensity, L, R, T, `(k)` or `static`, `?`). Wide signs are as good as plain ones,
capitals as small letters.

A value is given only where every way to read the text agrees: `6 + 12 or 14` may join 6 with both
or with 12 alone, so all three are possible. Whatever no rule covers leaves its own term possible,
all other units unknown, and is named in `unread`.

Source:
    Decision record 0022.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mol_pipeline.contract.absence import is_absent
from mol_pipeline.contract.action_units import NOT_VISIBLE, UNITS, ActionUnits, CodedUnit

ACTION_UNITS = "action_units"
"""Key of the text among the annotations of a clip."""

EXPLICITLY_NONE = re.compile(
    r"(?:no|none|nil|neutral|without)(?: (?:action )?(?:units?|aus?|movements?))?|au ?0+"
)
"""The whole of a text that says that nothing moves; `0` alone may be a cell left open."""

LONGEST_TEXT = 500
MOST_BRACKETS = 20
"""Signs and brackets; a cell with more is no coding of a clip, and is not read."""

_ENDS = r"(?=$|[^a-z0-9]|or|and)"
_MARK = r"(?:[lratb](?:\ *(?:-|[/&+](?=\ *[lratb])))?\ *){0,4}"
_CODE = rf"""
    (?P<marks>{_MARK}(?:(?:a[ud]s?|m)[\ ._:\#-]*{_MARK})?)
    (?P<number>\d+(?:\.\d+)?)
    (?P<signs>(?:
        (?:[-_]|\ (?=[a-elrtk]\ *(?:$|[-+,;)\]}}?])))?
        [a-elrtk](?:[-/][a-e](?![a-z0-9]))?
    ){{0,3}}){_ENDS}
"""
_TOKEN = re.compile(
    rf"""
    (?P<gap>[^\S\r\n]+)
    | (?P<open>[(\[{{]) | (?P<close>[)\]}}])
    | (?P<plus>\+) | (?P<stop>[,;、&\r\n]+|and(?![a-z])|和|及)
    | (?P<slash>[/\\|]) | (?P<or>or(?![a-z])|或者?)
    | (?P<doubt>\?)
    | (?P<code>{_CODE})
    | (?P<word>[a-z]+|左|右|双侧|双|静态)
    | (?P<other>[\d.]+|.)
    """,
    re.VERBOSE,
)

_MEANINGS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("side", "left", ("l", "left", "左")),
    ("side", "right", ("r", "right", "右")),
    ("side", "both", ("both", "bilateral", "bilaterally", "双", "双侧")),
    ("side", "one", ("unilateral", "unilaterally")),
    ("asymmetric", True, ("asymmetric", "asymmetrical")),
    ("part", "top", ("t", "top")),
    ("part", "bottom", ("bottom",)),
    ("state", "static", ("k", "static", "静态")),
    ("state", "possible", ("?", "ref", "doubtful", "maybe", "perhaps", "possibly")),
    *(("intensity", letter.upper(), (letter,)) for letter in "abcde"),
)
_WORDS = {word: (name, value) for name, value, words in _MEANINGS for word in words}
"""What a word beside a unit says of it; letters are those of brackets and ends, not of marks."""

_MARKS = {**_WORDS, "a": ("asymmetric", True), "b": ("part", "bottom")}
"""The same of a letter before a number."""

_REMARKS = frozenset(
    (
        *("onset", "apex", "offset", "peak", "soft", "focus", "at", "in", "on", "of", "the"),
        *("side", "sides", "face", "action", "unit", "units", "au", "aus", "code", "codes"),
    )
)
"""Words that say when or how something was seen, not what moves."""


@dataclass
class _Reading:
    """What a part of a text says."""

    coded: list[CodedUnit] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """Those beside no unit: in `12 (left)` the brackets hold one."""
    unread: list[str] = field(default_factory=list)
    open: bool = False
    """Further units may be meant."""
    remarked: bool = False
    """Words that tell of no unit are there."""

    @property
    def says_nothing(self) -> bool:
        return not (self.coded or self.words or self.unread or self.open or self.remarked)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    match: re.Match[str]


def read_action_units(text: str) -> ActionUnits:
    """Read a cell; a text that says nothing, or nothing readable, leaves every unit unknown."""
    plain = unicodedata.normalize("NFKC", text).lower().strip(" '\"\n\r\t.。")
    if EXPLICITLY_NONE.fullmatch(" ".join(plain.split())):
        return ActionUnits(complete=True)
    if is_absent(plain):
        return ActionUnits()
    if len(plain) > LONGEST_TEXT or len(re.findall(r"[(\[{]", plain)) > MOST_BRACKETS:
        return ActionUnits(unread=(f"{plain[:40]}...",))
    tokens = [_Token(str(one.lastgroup), one[0], one) for one in _TOKEN.finditer(plain)]
    found = _Text(tokens).read()
    unread = (*found.unread, *found.words)  # words of a unit whose number is not there
    visible = not NOT_VISIBLE & {one.unit for one in found.coded}
    complete = bool(found.coded) and visible and not (found.open or unread)
    return ActionUnits(coded=tuple(found.coded), complete=complete, unread=unread)


class _Text:
    """Tokens of a text, read from left to right."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    def read(self) -> _Reading:
        """The whole text."""
        found = self._choice_of_sums()
        while (token := self._next()) is not None:  # a bracket that nothing opened
            rest = self._choice_of_sums()
            unread = [*found.unread, token.text, *rest.unread]
            found = _Reading(_possible([*found.coded, *rest.coded]), [], unread, True)
        return found

    def _peek(self) -> str:
        return self._tokens[self._place].kind if self._place < len(self._tokens) else ""

    def _next(self) -> _Token | None:
        if self._place == len(self._tokens):
            return None
        self._place += 1
        return self._tokens[self._place - 1]

    def _choice_of_sums(self) -> _Reading:
        found = [self._sum()]
        while self._peek() == "or":
            self._next()
            found.append(self._sum())
        return _either(found, "or")

    def _sum(self) -> _Reading:
        total = self._choice()
        plus = total.says_nothing and self._peek() == "plus"
        if plus:
            total.unread.append("+")
        while self._peek() in {"plus", "stop"}:
            separator = self._next()
            term = self._choice()
            if term.says_nothing and separator is not None and separator.kind == "plus":
                total.unread.append("+")  # what it should have added is lost
            total.coded += term.coded
            total.words += term.words
            total.unread += term.unread
            total.open |= term.open
        return total

    def _choice(self) -> _Reading:
        found = [self._term()]
        while self._peek() == "slash":
            self._next()
            found.append(self._term())
        return _either(found, "/")

    def _term(self) -> _Reading:
        """Codes or a group, with the words that are about them."""
        found = _Reading()
        words: list[str] = []
        early: list[str] = []
        parts = 0
        before: re.Match[str] | None = None
        gap = ""
        while (kind := self._peek()) in {"gap", "open", "doubt", "code", "word", "other"}:
            token = self._next()
            if token is None:
                break
            if kind == "gap":
                gap = token.text
                continue
            if kind == "code":
                found.coded += _code(token.match, found.unread)
                if before is not None and len(gap) == 1:
                    _doubt_stray_blank(before, token.match, found)
                before = token.match
                parts += 1
            elif kind == "open":
                group = self._group()
                if words[-1:] == ["ref"]:
                    words.pop()
                    group.coded = _possible(group.coded)
                    parts -= bool(group.coded)
                words += group.words if not group.coded else []
                found.coded += group.coded
                found.unread += group.unread + (group.words if group.coded else [])
                found.open |= group.open and not _is_doubt(group)
                words += ["?"] * (_is_doubt(group) and not group.words)
                parts += bool(group.coded)
            elif kind in {"word", "doubt"}:
                is_early = parts == 0 and token.text in set("cde")
                (early if is_early else words).append(token.text)
            else:
                found.unread.append(token.text)
            gap = ""
        if parts:  # an intensity comes after its unit
            found.unread += early
        else:
            words += early
        return _with_words(found, words, parts)

    def _group(self) -> _Reading:
        """What stands in brackets, whose first is read already."""
        found = self._choice_of_sums()
        if self._next() is None:
            found.unread.append("(")
        return found


def _is_doubt(group: _Reading) -> bool:
    return not group.coded and group.open and not group.unread


def _with_words(found: _Reading, words: Sequence[str], parts: int) -> _Reading:
    """A term with what its words say of it."""
    telling = [word for word in words if word not in _REMARKS]
    unknown = [word for word in telling if word not in _WORDS]
    if not found.coded:
        if telling == ["?"]:
            return _Reading(open=True, unread=found.unread)
        return _Reading([], telling, found.unread, found.open, bool(words))
    found.unread += unknown
    known = [word for word in telling if word in _WORDS]
    if parts > 1 and known:  # which of them is meant is not written
        found.coded = _possible(found.coded)
    else:
        found.coded = [_described(one, known, _WORDS) for one in found.coded]
    if found.unread:
        found.coded = _possible(found.coded)
    return found


def _described(
    unit: CodedUnit, words: Sequence[str], meanings: dict[str, tuple[str, Any]]
) -> CodedUnit:
    """A unit with what words or letters say of it; where they differ, nothing is said."""
    said: dict[str, set[Any]] = {}
    for name, value in map(meanings.__getitem__, words):
        said.setdefault(name, set()).add(value)
    update: dict[str, Any] = {}
    for name, values in said.items():
        before = getattr(unit, name)
        if name == "state":
            values |= {before} - {"present"}
            update[name] = "possible" if "possible" in values else "static"
        elif name == "side":
            values |= {before} - {""}
            update[name] = values.pop() if len(values) == 1 else "both"
        else:
            values |= {before} - {"", False}
            update[name] = values.pop() if len(values) == 1 else ""
    return unit.model_copy(update=update)


def _code(match: re.Match[str], unread: list[str]) -> list[CodedUnit]:
    """The unit of a code; a number that is none is added to `unread`."""
    whole, _, rest = match["number"].partition(".")
    if rest.strip("0") or int(whole) not in UNITS:
        unread.append(match[0].strip())
        return []
    marks = re.sub(r"a[ud]s?|m", "", match["marks"])
    unit = _described(CodedUnit(unit=int(whole)), re.findall("[lratb]", marks), _MARKS)
    return [_described(unit, re.findall("[a-elrtk]", match["signs"]), _WORDS)]


def _doubt_stray_blank(first: re.Match[str], second: re.Match[str], found: _Reading) -> None:
    """Two bare numbers that are a unit without the blank between them: all three are possible."""
    joined = first["number"] + second["number"]
    if not (first["signs"] or second["marks"]) and joined.isdigit() and int(joined) in UNITS:
        found.coded = [*_possible(found.coded), CodedUnit(unit=int(joined), state="possible")]


def _either(choices: list[_Reading], sign: str) -> _Reading:
    """One of several: certain is what all of them say."""
    if len(choices) == 1:
        return choices[0]
    found = _Reading(open=any(one.open for one in choices))
    for one in choices:
        found.coded += one.coded
        found.words += one.words if not one.coded else []
        found.unread += one.unread or ([sign] if one.says_nothing else [])
    if all(not one.coded and one.words for one in choices):
        return found
    said = [
        {unit: {one for one in choice.coded if one.unit == unit} for unit in _units(found)}
        for choice in choices
    ]
    found.coded = [_agreed(one, [choice[one.unit] for choice in said]) for one in found.coded]
    return found


def _units(found: _Reading) -> set[int]:
    return {one.unit for one in found.coded}


def _agreed(unit: CodedUnit, said: Sequence[set[CodedUnit]]) -> CodedUnit:
    """A unit as all choices have it: its state, and side and intensity if they agree."""
    if all(choice == said[0] for choice in said):
        return unit
    agree = all({one.state for one in choice} == {unit.state} for choice in said)
    return CodedUnit(unit=unit.unit) if agree and unit.state == "present" else _possible([unit])[0]


def _possible(coded: Sequence[CodedUnit]) -> list[CodedUnit]:
    return [one.model_copy(update={"state": "possible"}) for one in coded]
