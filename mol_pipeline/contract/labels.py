"""Label mappings: from a database's annotation to class sets.

Data, not code. A mapping is a fixed, ordered tuple of classes and a table from an
annotated word (lower case) to a class; a clip whose word is outside the table takes no
part under that mapping. Class order is part of the contract: it is the order of the
network's outputs.

Sources: MOL Sec. 4.1.1 for `5` and `3`; MEGC 2019 for `megc2019` and the class order of `3`;
MEGC 2018 for `megc2018`; the authors' released code for `release-5` and `release-3`;
decision record 0010 for what no source says.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

EMOTION = "emotion"
"""The field that `raw_label` holds."""
EXPRESSION = "expression"
"""The field that says micro or macro; micro where a database has no other."""


class Labelled(Protocol):
    """What a mapping reads of a clip."""

    @property
    def raw_label(self) -> str:
        """The owners' word for the expression."""
        ...

    @property
    def annotations(self) -> Mapping[str, str]:
        """Further cells: `objective_class`, `expression` (micro or macro), ..."""
        ...

    @property
    def has_distinct_apex(self) -> bool:
        """Whether the owners annotated an apex, and not on the onset."""
        ...


@dataclass(frozen=True)
class LabelMapping:
    """One way to turn annotations into classes."""

    name: str
    """Key in manifests and on the command line, e.g. `5`."""
    classes: tuple[str, ...]
    """Class names; the position is the label index."""
    table: Mapping[str, str]
    """Annotated word in lower case -> class name."""
    field: str = EMOTION
    """Which annotation the word is taken from."""
    only: Literal["", "micro", "macro"] = ""
    """Kind of expression that takes part; empty for both."""
    needs_distinct_apex: bool = False
    """Leave out clips without an annotated apex of their own (MEGC 2019)."""

    def class_of(self, clip: Labelled) -> str | None:
        """Class of a clip, or None if it takes no part."""
        kind = clip.annotations.get(EXPRESSION, "micro")
        if self.only and kind != self.only:
            return None
        if self.needs_distinct_apex and not clip.has_distinct_apex:
            return None
        if self.field == EXPRESSION:
            return self.table.get(kind)
        word = clip.raw_label if self.field == EMOTION else clip.annotations.get(self.field, "")
        return self.table.get(word.strip().lower())


@dataclass(frozen=True)
class _Rule:
    """How a mapping of a database is written down below."""

    words: Mapping[str, str]
    """Class -> annotated words, separated by blanks; the order is the class order."""
    options: Mapping[str, object] = field(default_factory=dict)


def _mapping(name: str, rule: _Rule) -> LabelMapping:
    table = {word: label for label, words in rule.words.items() for word in words.split()}
    return LabelMapping(name, tuple(rule.words), table, **rule.options)  # type: ignore[arg-type]


def _same(*words: str, **options: object) -> _Rule:
    return _Rule({word: word for word in words}, options)


THREE_CLASSES = ("negative", "positive", "surprise")
"""MEGC 2019 order."""

_OBJECTIVE = ("i", "ii", "iii", "iv", "v", "vi", "vii")
"""MEGC 2018 numbers them in Roman figures; the owners' tables write 1 to 7 or these."""
_OBJECTIVE_WORDS = {name: f"{name} {n}" for n, name in enumerate(_OBJECTIVE, start=1)}
_OBJECTIVE_CLASSES = _Rule(_OBJECTIVE_WORDS, {"field": "objective_class"})
_MEGC_2018 = _Rule(
    {name: _OBJECTIVE_WORDS[name] for name in _OBJECTIVE[:5]}, {"field": "objective_class"}
)
_MICRO_MACRO = _same("micro", "macro", field=EXPRESSION)


def _three(negative: str, positive: str, **options: object) -> _Rule:
    return _Rule({"negative": negative, "positive": positive, "surprise": "surprise"}, options)


_VALENCE = _three(
    "negative anger contempt disgust fear repression sad sadness", "positive happiness happy"
)
"""`3` of every database: a word has the same valence whoever wrote it. `others`, `tense` and
several words at once have none."""

_FOUR_VALENCES = _Rule(
    {
        "negative": "negative",
        "positive": "positive",
        "surprise": "surprise",
        "others": "others other",
    }
)
"""Of tables whose words are these."""


def _release_three(negative: str, positive: str) -> _Rule:
    return _Rule({"surprise": "surprise", "positive": positive, "negative": negative})


_SAMM_NEGATIVE = "anger contempt disgust fear sadness"
_SAMM: dict[str, _Rule] = {
    "5": _Rule(
        {
            "anger": "anger",
            "happiness": "happiness",
            "contempt": "contempt",
            "surprise": "surprise",
            "others": "other others",
        }
    ),
    "3": _VALENCE,
    "megc2019": _three(_SAMM_NEGATIVE, "happiness"),
    "release-5": _Rule(
        {
            "surprise": "surprise",
            "happiness": "happiness",
            "anger": "anger",
            "contempt": "contempt",
            "others": "other others",
        }
    ),
    "release-3": _release_three(_SAMM_NEGATIVE, "happiness"),
    "objective": _OBJECTIVE_CLASSES,
    "megc2018": _MEGC_2018,
}

_SMIC: dict[str, _Rule] = {
    "3": _VALENCE,
    "megc2019": _three("negative", "positive"),
    "release-3": _release_three("negative", "positive"),
}

_RULES: dict[str, dict[str, _Rule]] = {
    "samm": _SAMM,
    "samm-lv": {
        **{
            name: _Rule(rule.words, {**rule.options, "only": "micro"})
            for name, rule in _SAMM.items()
            if name in {"5", "3"}
        },
        "micro-macro": _MICRO_MACRO,
    },
    "casme2": {
        "5": _Rule(
            {
                "happiness": "happiness",
                "disgust": "disgust",
                "repression": "repression",
                "surprise": "surprise",
                "others": "others other",
            }
        ),
        # Without sadness and fear, as MEGC 2019 and the paper have it (147 clips, not 156).
        "3": _three("disgust repression", "happiness"),
        "megc2019": _three("disgust repression", "happiness", needs_distinct_apex=True),
        "release-5": _Rule(
            {
                "surprise": "surprise",
                "happiness": "happiness",
                "disgust": "disgust",
                "repression": "repression",
                "others": "others other",
            }
        ),
        "release-3": _release_three("disgust repression sadness fear", "happiness"),
        "objective": _OBJECTIVE_CLASSES,
        "megc2018": _MEGC_2018,
    },
    "smic-hs": _SMIC,
    "smic-vis": {name: rule for name, rule in _SMIC.items() if name != "megc2019"},
    "smic-nir": {name: rule for name, rule in _SMIC.items() if name != "megc2019"},
    "smic-e-hs": {"3": _SMIC["3"]},
    "smic-e-vis": {"3": _SMIC["3"]},
    "smic-e-nir": {"3": _SMIC["3"]},
    "casme": {
        "4": _same("disgust", "repression", "surprise", "tense"),
        "3": _VALENCE,
        "8": _same(
            *("tense", "disgust", "repression", "surprise"),
            *("happiness", "contempt", "fear", "sadness"),
        ),
    },
    "casme-sq": {
        "4": _Rule(_FOUR_VALENCES.words, {"only": "micro"}),
        "3": _Rule(_VALENCE.words, {"only": "micro"}),
        "4-macro": _Rule(_FOUR_VALENCES.words, {"only": "macro"}),
        "micro-macro": _MICRO_MACRO,
    },
    "casme3": {
        "4": _Rule(
            {
                "negative": "disgust fear anger sad sadness",
                "positive": "happy happiness",
                "surprise": "surprise",
                "others": "others other",
            }
        ),
        "3": _VALENCE,
        "7": _Rule(
            {
                "disgust": "disgust",
                "surprise": "surprise",
                "others": "others other",
                "fear": "fear",
                "anger": "anger",
                "sadness": "sad sadness",
                "happiness": "happy happiness",
            }
        ),
        "objective": _Rule(_OBJECTIVE_WORDS, {"field": "objective_class", "only": "micro"}),
        "micro-macro": _MICRO_MACRO,
    },
    "casme3-c": {"4": _FOUR_VALENCES, "3": _VALENCE},
    "dfme": {
        "7": _Rule(
            {
                "happiness": "happiness happy",
                "anger": "anger",
                "contempt": "contempt",
                "disgust": "disgust",
                "fear": "fear",
                "sadness": "sadness sad",
                "surprise": "surprise",
            }
        ),
        "3": _VALENCE,
    },
    "mmew": {
        "7": _Rule(
            {
                "happiness": "happiness",
                "surprise": "surprise",
                "disgust": "disgust",
                "fear": "fear",
                "sadness": "sadness",
                "anger": "anger",
                "others": "others other repression",
            }
        ),
        "6": _same("happiness", "surprise", "disgust", "fear", "sadness", "anger"),
        "4": _Rule(
            {
                "happiness": "happiness",
                "surprise": "surprise",
                "disgust": "disgust",
                "others": "others other repression",
            }
        ),
        "3": _VALENCE,
    },
    "4dme": {
        "5": _Rule(
            {
                "negative": "negative",
                "positive": "positive",
                "surprise": "surprise",
                "repression": "repression",
                "others": "others other",
            }
        ),
        "3": _VALENCE,
    },
    "affwild2": {
        "8": _same(
            *("neutral", "anger", "disgust", "fear"),
            *("happiness", "sadness", "surprise", "other"),
        ),
        "7": _same("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"),
    },
}

LABEL_MAPPINGS: Mapping[str, tuple[LabelMapping, ...]] = {
    database: tuple(_mapping(name, rule) for name, rule in rules.items())
    for database, rules in _RULES.items()
}
"""Per database, every mapping it supports; the first is its default.

A database that is not named here (`custom`, those without truth) has one mapping, `all`: its own
words."""

WITHOUT_TRUTH = frozenset({"megc-unseen"})
"""Databases whose owners keep what is shown to themselves: nothing trains on them or is scored."""

OWN_WORDS = "all"
"""Mapping of a database whose words are the user's own."""


def label_mappings(database: str, words: Iterable[str]) -> tuple[LabelMapping, ...]:
    """Every mapping of a database, given all the words that its clips are labelled with."""
    if database in LABEL_MAPPINGS:
        return LABEL_MAPPINGS[database]
    classes = tuple(sorted({word.strip().lower() for word in words} - {""}))
    return (LabelMapping(OWN_WORDS, classes, {word: word for word in classes}),)


def label_mapping(mappings: Iterable[LabelMapping], name: str) -> LabelMapping:
    """Find a mapping by name.

    Raises:
        KeyError: If it is unknown; the message lists what there is.
    """
    mappings = tuple(mappings)
    for mapping in mappings:
        if mapping.name == name:
            return mapping
    raise KeyError(f"no mapping {name!r}; there are {', '.join(one.name for one in mappings)}")


def labels_under_every_mapping(mappings: Iterable[LabelMapping], clip: Labelled) -> dict[str, str]:
    """Class of a clip under each mapping in which it takes part."""
    found = {mapping.name: mapping.class_of(clip) for mapping in mappings}
    return {name: label for name, label in found.items() if label is not None}
