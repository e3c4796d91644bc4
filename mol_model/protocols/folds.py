"""Which videos train and which test. Folds split by person.

A person is the same over all databases that filmed the same people (the three cameras of
SMIC; SAMM and SAMM Long Videos), so that no protocol can put one on both sides.

Sources: MOL Sec. 4.1.2 (leave one subject out), Table VI (composite: MEGC 2019) and Table VII
(cross-database); Varanka et al., arXiv 2211.11425 (leave one database out).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mol_model.config.names import ProtocolName
from mol_model.config.settings import ProtocolConfig
from mol_model.protocols.units import CD6ME, UNITS_MAPPING, units_of
from mol_pipeline.contract.errors import ConfigError, TrainingError
from mol_pipeline.contract.manifest import ClipRecord
from mol_pipeline.contract.names import file_name, person_name


@dataclass(frozen=True)
class Sample:
    """One video that takes part: whom it shows, its class, where it comes from."""

    person: str
    """Unique over databases."""
    label: int
    database: str = ""
    key: str = ""
    """Name of the video, unique over databases."""
    part: str = ""
    """Of the split that the owners give, e.g. `training`; empty without one."""
    units: tuple[int, ...] = ()
    """Instead of a class, where several hold at once: 1, 0, or -1 if unknown, for each."""

    @property
    def target(self) -> int | list[int]:
        """What a network learns of it: a class, or a value for each unit."""
        return list(self.units) if self.units else self.label

    @property
    def holds(self) -> tuple[int, ...]:
        """Positions of the classes that hold: one, or any number of units."""
        if not self.units:
            return (self.label,)
        return tuple(i for i, value in enumerate(self.units) if value == 1)


@dataclass(frozen=True)
class Fold:
    """Positions of the training and of the test videos."""

    name: str
    """Of its directory: no two folds share one, see `contract.names`."""
    train: tuple[int, ...]
    test: tuple[int, ...]
    left_out: tuple[int, ...] = ()
    """Videos of other databases that show a person of the test part: in neither."""


def sample_of(clip: ClipRecord, mapping: str, classes: Sequence[str]) -> Sample | None:
    """A clip as a sample under a mapping, None if it takes no part."""
    if mapping == UNITS_MAPPING:
        units = units_of(clip)
        if units is None:
            return None
        return Sample(clip.person, 0, clip.database, clip.key, _part_of(clip), units)
    label = clip.labels.get(mapping)
    if label is None:
        return None
    return Sample(
        person=clip.person,
        label=classes.index(label),
        database=clip.database,
        key=clip.key,
        part=_part_of(clip),
    )


def _part_of(clip: ClipRecord) -> str:
    return clip.annotations.get("partition", "")


def make_folds(
    samples: Sequence[Sample], classes: Sequence[str], protocol: ProtocolConfig
) -> list[Fold]:
    """The folds of a protocol; none is empty.

    Raises:
        ConfigError: If the databases do not suit the protocol.
        TrainingError: If a class has no video, or there are too few people.
    """
    counts = Counter(place for sample in samples for place in sample.holds)
    empty = [name for label, name in enumerate(classes) if not counts[label]]
    if empty and not any(sample.units for sample in samples):  # a unit may be shown by nobody
        raise TrainingError(
            f"no video of class {', '.join(empty)}: a protocol over {len(classes)} classes needs "
            "all of them; choose other --classes or shards"
        )
    folds = _rule(protocol.name).folds(samples, protocol)
    if not folds:
        raise TrainingError(
            f"{protocol.name}: no fold has both training and test videos; the databases show "
            "the same people"
        )
    for fold in folds:
        if not fold.train:
            raise TrainingError(f"fold {fold.name}: everybody is tested, nobody is left to train")
        test = {samples[i].person for i in fold.test}
        if test & {samples[i].person for i in fold.train}:
            raise AssertionError(f"fold {fold.name} has a person on both sides")
    if len({fold.name.casefold() for fold in folds}) < len(folds):
        raise AssertionError("two folds have one name")
    return folds


def _leave_one_subject_out(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    people = sorted({sample.person for sample in samples})
    if len(people) < 2:
        raise TrainingError(
            f"one subject only ({people[0]}): leave one subject out needs at least two"
        )
    return [_fold(person_name(person), samples, test={person}) for person in people]


def _composite(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    databases = sorted({sample.database for sample in samples})
    if len(databases) < 2:
        raise ConfigError(
            f"composite: {databases[0]} is one database; MEGC 2019 joins casme2, samm and "
            "smic-hs (give --shards or --index for each), or choose --protocol loso"
        )
    return _leave_one_subject_out(samples, protocol)


def _cross_database(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    databases = sorted({sample.database for sample in samples})
    for name in (*protocol.train, *protocol.test):
        if name not in databases:
            raise ConfigError(f"cross: {name} is not among the databases {', '.join(databases)}")
    if len(databases) < 2:
        raise ConfigError(f"cross: {databases[0]} is one database; give the shards of two or more")
    folds = []
    for test in protocol.test or databases:
        if protocol.train:
            pairs = [tuple(name for name in protocol.train if name != test)]
        else:
            pairs = [(name,) for name in databases if name != test]
        folds += [
            _database_fold(_pair_name(train, test), samples, set(train), test)
            for train in pairs
            if train
        ]
    return [fold for fold in folds if fold.train and fold.test]


def _leave_one_database_out(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    databases = sorted({sample.database for sample in samples})
    if len(databases) < 2:
        raise ConfigError(
            f"leave-one-database-out: {databases[0]} is one database; give the shards of several"
        )
    folds = [
        _database_fold(file_name(name), samples, set(databases) - {name}, name)
        for name in databases
    ]
    return [fold for fold in folds if fold.train and fold.test]


def _cd6me(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    """Each of the six databases tested by a model of the other five."""
    found = {sample.database for sample in samples}
    missing = [name for name in CD6ME if name not in found]
    foreign = sorted(found - set(CD6ME))
    if missing or foreign:
        words = [f"{', '.join(missing)} not given"] * bool(missing)
        words += [f"{', '.join(foreign)} no part of it"] * bool(foreign)
        raise ConfigError(
            f"cd6me: {' and '.join(words)}; it joins {', '.join(CD6ME)} (give --shards or --index "
            f"for each), or choose --protocol leave-one-database-out --classes {UNITS_MAPPING}"
        )
    return _leave_one_database_out(samples, protocol)


def _grouped_k_fold(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    """People are dealt, those with most videos first, to where their classes lack most."""
    classes = max((place for sample in samples for place in sample.holds), default=0) + 1
    videos: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(classes))
    for sample in samples:
        of_person = videos[sample.person]
        for place in sample.holds:
            of_person[place] += 1
    if len(videos) < protocol.k:
        raise TrainingError(f"k-fold: {len(videos)} people cannot make {protocol.k} folds")
    people = sorted(videos)
    np.random.default_rng(protocol.seed).shuffle(people)
    people.sort(key=lambda person: -float(videos[person].sum()))  # stable: chance breaks ties
    share = sum(videos.values()) / protocol.k
    filled = np.zeros((protocol.k, classes))
    dealt: list[set[str]] = [set() for _ in range(protocol.k)]
    for number, person in enumerate(people):
        # The first k people open the folds, so that none stays empty.
        open_folds = [number] if number < protocol.k else list(range(protocol.k))
        costs = [
            (((filled[k] + videos[person] - share) ** 2) / (share + 1)).sum()
            - (((filled[k] - share) ** 2) / (share + 1)).sum()
            for k in open_folds
        ]
        chosen = open_folds[int(np.argmin(costs))]
        filled[chosen] += videos[person]
        dealt[chosen].add(person)
    return [
        _fold(f"fold-{number:02d}", samples, test=group)
        for number, group in enumerate(dealt, start=1)
    ]


def _owners_split(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    """The owners' training part, and a fold for each part that they test on.

    Who is tested trains nowhere, also where the owners have a person in both: `left_out`.
    """
    without = sorted({sample.database for sample in samples if not sample.part})
    if without:
        raise ConfigError(
            f"owners-split: the owners of {', '.join(without)} give no split; choose loso or k-fold"
        )
    parts = sorted({sample.part for sample in samples})
    for name in (*protocol.train, *protocol.test):
        if name not in parts:
            raise ConfigError(f"owners-split: no part {name}; there are {', '.join(parts)}")
    train = set(protocol.train) or {part for part in parts if part.startswith("train")}
    tested = [part for part in protocol.test or parts if part not in train]
    if not train or not tested:
        raise ConfigError(
            f"owners-split: of the parts {', '.join(parts)} none is left to "
            f"{'test' if train else 'train'}; is a table of the owners missing, or name them with "
            "--train and --test"
        )
    folds = []
    for part in tested:
        people = {sample.person for sample in samples if sample.part == part}
        candidates = [i for i, sample in enumerate(samples) if sample.part in train]
        folds.append(
            Fold(
                name=file_name(part),
                train=tuple(i for i in candidates if samples[i].person not in people),
                test=tuple(i for i, sample in enumerate(samples) if sample.part == part),
                left_out=tuple(i for i in candidates if samples[i].person in people),
            )
        )
    return folds


def _hold_out(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    people = {sample.person for sample in samples}
    if not protocol.test:
        raise ConfigError("hold-out: name the subjects that are tested, e.g. --test 006")
    test: set[str] = set()
    for name in protocol.test:
        named = {person for person in people if name in (person, person.rpartition("/")[2])}
        if not named:
            raise ConfigError(
                f"hold-out: no subject {name}; there are {', '.join(sorted(people)[:10])}"
            )
        test |= named
    return [_fold("hold-out", samples, test=test)]


def _all(samples: Sequence[Sample], protocol: ProtocolConfig) -> list[Fold]:
    return [_fold("all", samples, test=set())]


def _fold(name: str, samples: Sequence[Sample], *, test: set[str]) -> Fold:
    return Fold(
        name=name,
        train=tuple(i for i, sample in enumerate(samples) if sample.person not in test),
        test=tuple(i for i, sample in enumerate(samples) if sample.person in test),
    )


def _database_fold(name: str, samples: Sequence[Sample], train: set[str], test: str) -> Fold:
    tested = {sample.person for sample in samples if sample.database == test}
    candidates = [i for i, sample in enumerate(samples) if sample.database in train]
    return Fold(
        name=name,
        train=tuple(i for i in candidates if samples[i].person not in tested),
        test=tuple(i for i, sample in enumerate(samples) if sample.database == test),
        left_out=tuple(i for i in candidates if samples[i].person in tested),
    )


def _pair_name(train: Sequence[str], test: str) -> str:
    """Name of the fold of a cross-database pair, `a+b-to-c`."""
    names = (*train, test)
    if any(file_name(name) != name or "+" in name or "to" in name.split("-") for name in names):
        return file_name("", *names)
    return file_name(f"{'+'.join(train)}-to-{test}")


@dataclass(frozen=True)
class _Rule:
    """What a protocol is called in text, and how it makes folds."""

    title: str
    folds: Callable[[Sequence[Sample], ProtocolConfig], list[Fold]]


def _rule(name: ProtocolName) -> _Rule:
    """The rule of a protocol; the type checker refuses a name without one."""
    match name:
        case "loso":
            return _Rule("leave one subject out", _leave_one_subject_out)
        case "composite":
            return _Rule("composite database, leave one subject out", _composite)
        case "cross":
            return _Rule("cross-database", _cross_database)
        case "leave-one-database-out":
            return _Rule("leave one database out", _leave_one_database_out)
        case "cd6me":
            return _Rule("CD6ME: action units, leave one of six databases out", _cd6me)
        case "k-fold":
            return _Rule("k-fold grouped by subject", _grouped_k_fold)
        case "owners-split":
            return _Rule("the owners' split into training and test parts", _owners_split)
        case "hold-out":
            return _Rule("one split by subject", _hold_out)
        case "all":
            return _Rule("training on all videos, no test", _all)


def protocol_title(name: ProtocolName) -> str:
    """What a protocol is called in text."""
    return _rule(name).title
