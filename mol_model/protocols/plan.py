"""The folds of a protocol, planned from manifests or indexes; no shard is opened."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mol_model.config.settings import ProtocolConfig, ProtocolDocument
from mol_model.protocols.folds import (
    Fold,
    Sample,
    make_folds,
    protocol_title,
    sample_of,
)
from mol_model.protocols.given import check_given_together, clips_of_document
from mol_model.protocols.mapping import COMPOSITE_MAPPING, common_mapping
from mol_model.protocols.units import CD6ME
from mol_pipeline.contract.agreement import read_consistent
from mol_pipeline.contract.documents import Unreadable, read_document
from mol_pipeline.contract.errors import ConfigError
from mol_pipeline.contract.index_document import IndexDocument, read_index
from mol_pipeline.contract.manifest import Manifest
from mol_pipeline.contract.validation import first_problem

MEGC_2019 = {
    "casme2": {"negative": 88, "positive": 32, "surprise": 25},
    "samm": {"negative": 92, "positive": 26, "surprise": 15},
    "smic-hs": {"negative": 70, "positive": 51, "surprise": 43},
}
"""Videos per part and class of the composite: 442 in all, of 68 people."""


@dataclass(frozen=True)
class FoldPlan:
    """Who is tested when, and on what the others train."""

    protocol: ProtocolConfig
    mapping: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    folds: tuple[Fold, ...]
    synthetic: bool
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The plan as one JSON-able object."""
        return {
            "protocol": self.protocol.name,
            "mapping": self.mapping,
            "classes": list(self.classes),
            "synthetic": self.synthetic,
            "videos": len(self.samples),
            "subjects": len({sample.person for sample in self.samples}),
            "by_class": self._by_class(self.samples),
            "by_database": self.by_database(),
            "warnings": list(self.warnings),
            "folds": [
                {
                    "name": fold.name,
                    "train": [self.samples[i].key for i in fold.train],
                    "test": [self.samples[i].key for i in fold.test],
                    "left_out": [self.samples[i].key for i in fold.left_out],
                    "train_subjects": self._people(fold.train),
                    "test_subjects": self._people(fold.test),
                    "test_by_class": self._by_class([self.samples[i] for i in fold.test]),
                }
                for fold in self.folds
            ],
        }

    def by_database(self) -> dict[str, dict[str, int]]:
        """Videos of each database by class."""
        return {
            database: self._by_class([s for s in self.samples if s.database == database])
            for database in sorted({sample.database for sample in self.samples})
        }

    def _by_class(self, samples: Sequence[Sample]) -> dict[str, int]:
        counts = Counter(place for sample in samples for place in sample.holds)
        return {name: counts[label] for label, name in enumerate(self.classes)}

    def _people(self, positions: Sequence[int]) -> list[str]:
        return sorted({self.samples[i].person for i in positions})

    def text(self) -> str:
        """The plan as lines for people."""
        people = len({sample.person for sample in self.samples})
        totals = ", ".join(f"{name} {n}" for name, n in self._by_class(self.samples).items())
        lines = [
            f"{protocol_title(self.protocol.name)}, mapping {self.mapping}"
            f"{' (SYNTHETIC data)' if self.synthetic else ''}: {len(self.samples)} videos of "
            f"{people} people, {len(self.folds)} folds ({totals})",
            f"{'fold':28} {'train':>6} {'test':>5}  test videos by class",
        ]
        for fold in self.folds:
            classes = self._by_class([self.samples[i] for i in fold.test])
            listed = ", ".join(f"{name} {n}" for name, n in classes.items() if n)
            left_out = f"  ({len(fold.left_out)} left out: same people)" if fold.left_out else ""
            lines.append(
                f"{fold.name:28} {len(fold.train):6} {len(fold.test):5}  {listed}{left_out}"
            )
        return "\n".join(lines)


def read_protocol(path: Path) -> ProtocolDocument:
    """Read a protocol document.

    Raises:
        ConfigError: If it cannot be read or is no protocol.
    """
    try:
        return ProtocolDocument.model_validate_json(read_document(path))
    except FileNotFoundError:
        raise ConfigError(f"--protocol {path}: is not there") from None
    except Unreadable as error:
        raise ConfigError(f"--protocol {path}: {error}") from error
    except ValidationError as error:
        raise ConfigError(
            f"--protocol {path}: {first_problem(error)}; see manifests/protocol.schema.json"
        ) from error


def plan_folds(
    shards: Sequence[Path],
    indexes: Sequence[Path],
    classes: str | None,
    protocol: ProtocolConfig,
    databases: Sequence[str] = (),
) -> FoldPlan:
    """Plan a protocol over databases.

    Args:
        shards: Directories with manifests.
        indexes: Files that `molprep index --json` wrote.
        classes: Label mapping; None for the first that the databases share.
        protocol: Which.
        databases: Those that the protocol is about; empty if any will do.

    Raises:
        ManifestError: If a document cannot be read.
        ConfigError: If the databases do not suit each other or the protocol.
        TrainingError: If no fold can be made.
    """
    documents: list[Manifest | IndexDocument] = [
        *(read_consistent(path) for path in shards),
        *(read_index(path) for path in indexes),
    ]
    given = {document.database for document in documents}
    if databases and given != set(databases):
        raise ConfigError(
            f"the protocol is about {', '.join(sorted(databases))}; given are "
            f"{', '.join(sorted(given))}: name each with --shards or --index"
        )
    check_given_together((*shards, *indexes), documents)
    mapping, names = common_mapping(documents, classes, protocol.name)
    samples: list[Sample] = []
    for document in documents:
        clips = clips_of_document(document)
        samples += [sample for clip in clips if (sample := sample_of(clip, mapping, names))]
    folds = make_folds(samples, names, protocol)
    synthetic = any(document.synthetic for document in documents)
    plan = FoldPlan(
        protocol=protocol,
        mapping=mapping,
        classes=names,
        samples=tuple(samples),
        folds=tuple(folds),
        synthetic=synthetic,
        warnings=(),
    )
    if synthetic:
        return plan
    if protocol.name == "composite" and mapping == COMPOSITE_MAPPING:
        return replace(plan, warnings=tuple(_against_megc_2019(plan)))
    if protocol.name == "cd6me":
        return replace(plan, warnings=tuple(_against_cd6me(plan)))
    return plan


def _against_cd6me(plan: FoldPlan) -> list[str]:
    """How six databases differ from those of CD6ME."""
    found = Counter(sample.database for sample in plan.samples)
    return [
        f"{database}: {found[database]} clips with a known action unit, CD6ME has {expected}"
        for database, expected in CD6ME.items()
        if found[database] != expected
    ]


def _against_megc_2019(plan: FoldPlan) -> list[str]:
    """How a composite differs from that of MEGC 2019."""
    found = plan.by_database()
    return [
        f"{database}: {found.get(database) or 'absent'}, MEGC 2019 has {expected}"
        for database, expected in MEGC_2019.items()
        if found.get(database) != expected
    ] + [f"{database}: no part of MEGC 2019" for database in found if database not in MEGC_2019]
