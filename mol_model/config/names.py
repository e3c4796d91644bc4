"""Names that a user types, for the command line and the settings alike.

The standard library alone is imported here: `--help` answers at once.
"""

from typing import Literal, get_args

ProtocolName = Literal[
    "loso",
    "composite",
    "cross",
    "leave-one-database-out",
    "cd6me",
    "k-fold",
    "owners-split",
    "hold-out",
    "all",
]
"""Which videos train and which test; `mol_model.protocols.folds` has the rule of each."""

PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)

OF_ONE_FOLD: tuple[ProtocolName, ...] = ("hold-out", "all")
"""Protocols that make no more than one fold."""

FOLDS_APART: tuple[ProtocolName, ...] = ("cross", "owners-split")
"""Protocols whose folds are results of their own: their predictions are not pooled."""

FOLD_PROTOCOLS = tuple(name for name in PROTOCOLS if name not in OF_ONE_FOLD)

PresetName = Literal["paper", "tiny"]

PRESET_NAMES: tuple[PresetName, ...] = get_args(PresetName)

Selection = Literal["last", "validation", "test-best"]
"""Which model of a fold is tested."""

SELECTION_NAMES: tuple[Selection, ...] = get_args(Selection)

Precision = Literal["float32", "tf32", "bf16"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Flavour = Literal["paper", "release"]
"""The paper's equations, or what the authors' released code computes."""

FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)

OptimiserName = Literal["adamw", "adam", "sgd"]

Schedule = Literal["constant", "cosine", "exponential"]
