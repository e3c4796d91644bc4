"""The shapes in signatures, checked while tests run and at no other time."""

from beartype import BeartypeConf, beartype

CHECKED_MODULES = (
    "mol_model.networks",
    "mol_model.scoring.metrics",
    "mol_model.scoring.units",
    "mol_pipeline.kernels.alignment",
    "mol_pipeline.kernels.flow",
    "mol_pipeline.kernels.geometry",
)
"""Kernels that hold a detector or a recogniser get stand-ins in tests, which are no such class."""

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""A whole number may stand where a float is annotated, as the type checker has it."""
