"""Folds by person: nobody trains and is tested, nobody is lost, no fold is empty."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mol_model.config.names import FOLD_PROTOCOLS
from mol_model.config.settings import ProtocolConfig
from mol_model.protocols.folds import Sample, make_folds
from mol_model.protocols.mapping import common_mapping
from mol_model.protocols.units import CD6ME
from mol_pipeline.contract.errors import ConfigError, TrainingError

CLASSES = ("a", "b", "c")
PARTS = ("training", "test-a", "test-b")


def sample(person, label, database="samm"):
    return Sample(person=person, label=label, database=database)


@st.composite
def several_databases(draw):
    """Videos of three databases, two of which filmed the same people."""
    samples = [sample("y/0", label, "casme2") for label in range(3)]
    samples += [sample("x/0", 0, "smic-hs"), sample("x/1", 1, "smic-hs")]
    for _ in range(draw(st.integers(0, 30))):
        database = draw(st.sampled_from(["smic-hs", "smic-vis", "casme2"]))
        space = "y" if database == "casme2" else "x"
        person = f"{space}/{draw(st.integers(0, 5))}"
        samples.append(sample(person, draw(st.integers(0, 2)), database))
    return samples


def of_the_six(samples):
    """The same videos as if of databases of CD6ME, and one video of each of the others."""
    names = {"smic-hs": "samm", "smic-vis": "mmew", "casme2": "casme2"}
    others = [sample(f"{name}/0", 0, name) for name in CD6ME if name not in names.values()]
    return [replace(one, database=names[one.database]) for one in samples] + [
        *others,
        sample("mmew/0", 0, "mmew"),
    ]


@pytest.mark.parametrize("name", FOLD_PROTOCOLS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(samples=several_databases())
def test_no_protocol_puts_a_person_on_both_sides(name, samples):
    if name == "cd6me":
        samples = of_the_six(samples)
    if name == "owners-split":  # somebody trains whom nobody tests; others may be in all parts
        samples = [
            *(replace(one, part=PARTS[i % 3]) for i, one in enumerate(samples)),
            replace(sample("z/0", 0), part="training"),
        ]
    folds = make_folds(samples, CLASSES, ProtocolConfig(name=name, k=2))
    for fold in folds:
        assert fold.train
        assert fold.test
        assert not {samples[i].person for i in fold.train} & {samples[i].person for i in fold.test}
        assert not set(fold.left_out) & {*fold.train, *fold.test}
    tested = sorted(video for fold in folds for video in fold.test)
    if name != "cross":
        assert len(tested) == len(set(tested))
    if name in {"loso", "composite", "k-fold"}:
        assert tested == list(range(len(samples)))
    assert folds == make_folds(samples, CLASSES, ProtocolConfig(name=name, k=2))


def in_parts(*people):
    """A video of each person and part."""
    return [
        replace(sample(person, label), part=part)
        for label, (part, names) in enumerate(zip(PARTS, people, strict=True))
        for person in names
    ]


def test_the_owners_split_tests_each_part_and_leaves_out_who_is_in_both():
    samples = in_parts(("x/1", "x/2", "x/3"), ("x/3", "x/4"), ("x/1", "x/4"))
    first, second = make_folds(samples, CLASSES, ProtocolConfig(name="owners-split"))
    assert (first.name, first.train, first.test, first.left_out) == ("test-a", (0, 1), (3, 4), (2,))
    assert (second.name, second.train, second.test) == ("test-b", (1, 2), (5, 6))
    named = ProtocolConfig(name="owners-split", train=("training", "test-a"), test=("test-b",))
    (joined,) = make_folds(samples, CLASSES, named)
    assert (joined.train, joined.left_out) == ((1, 2, 3), (0, 4))


def test_a_split_that_the_owners_do_not_give_is_refused_by_name():
    plain = [sample("x/1", 0), sample("x/2", 1), sample("x/3", 2)]
    with pytest.raises(ConfigError, match=r"owners of samm give no split; choose loso or k-fold"):
        make_folds(plain, CLASSES, ProtocolConfig(name="owners-split"))
    samples = in_parts(("x/1",), ("x/2",), ("x/3",))
    wrong = ProtocolConfig(name="owners-split", test=("test-c",))
    with pytest.raises(ConfigError, match=r"no part test-c; there are test-a, test-b, training"):
        make_folds(samples, CLASSES, wrong)
    for part, word in (("training", "test"), ("test-a", "train")):
        alone = [replace(one, part=part) for one in samples]
        with pytest.raises(ConfigError, match=rf"of the parts {part} none is left to {word}"):
            make_folds(alone, CLASSES, ProtocolConfig(name="owners-split"))


def test_a_split_tests_the_named_people_and_all_tests_nobody():
    samples = [sample(f"x/{i // 3}", i % 3) for i in range(9)]
    (split,) = make_folds(samples, CLASSES, ProtocolConfig(name="hold-out", test=("1", "x/2")))
    assert (split.train, split.test) == ((0, 1, 2), (3, 4, 5, 6, 7, 8))
    (whole,) = make_folds(samples, CLASSES, ProtocolConfig(name="all"))
    assert (whole.train, whole.test) == (tuple(range(9)), ())
    for test, words in (((), "name the subjects"), (("nobody",), "no subject nobody")):
        with pytest.raises(ConfigError, match=words):
            make_folds(samples, CLASSES, ProtocolConfig(name="hold-out", test=test))
    with pytest.raises(TrainingError, match="nobody is left to train"):
        make_folds(samples, CLASSES, ProtocolConfig(name="hold-out", test=("0", "1", "2")))


def test_one_subject_or_a_class_without_videos_is_refused():
    with pytest.raises(TrainingError, match="one subject only"):
        make_folds([sample("s1", 0), sample("s1", 1)], ("a", "b"), ProtocolConfig())
    with pytest.raises(TrainingError, match="no video of class c"):
        make_folds([sample("s1", 0), sample("s2", 1)], CLASSES, ProtocolConfig())


def test_databases_of_the_same_people_cannot_be_crossed():
    samples = [sample("samm/006", 0, "samm"), sample("samm/006", 0, "samm-lv")]
    for name in ("cross", "leave-one-database-out"):
        with pytest.raises(TrainingError, match="show the same people"):
            make_folds(samples, ("a",), ProtocolConfig(name=name))


def test_people_of_the_test_database_are_left_out_of_training():
    samples = [
        sample("samm/006", 0, "samm"),
        sample("samm/007", 0, "samm"),
        sample("samm/006", 0, "samm-lv"),
    ]
    config = ProtocolConfig(name="cross", train=("samm",), test=("samm-lv",))
    (fold,) = make_folds(samples, ("a",), config)
    assert (fold.train, fold.test, fold.left_out) == ((1,), (2,), (0,))


@pytest.mark.parametrize("name", ["composite", "cross", "leave-one-database-out"])
def test_one_database_is_too_few_for_a_protocol_over_several(name):
    samples = [sample("s1", 0), sample("s2", 0)]
    with pytest.raises(ConfigError, match="is one database"):
        make_folds(samples, ("a",), ProtocolConfig(name=name))


def test_an_unknown_database_of_cross_is_named():
    samples = [sample("s1", 0, "a"), sample("s2", 0, "b")]
    with pytest.raises(ConfigError, match="casme2 is not among the databases a, b"):
        make_folds(samples, ("a",), ProtocolConfig(name="cross", test=("casme2",)))


def test_k_folds_are_alike_in_size_and_classes():
    samples = [sample(f"s{i % 23:02d}", (i // 23) % 3) for i in range(23 * 9)]
    folds = make_folds(samples, CLASSES, ProtocolConfig(name="k-fold", k=5))
    sizes = [len(fold.test) for fold in folds]
    assert len(folds) == 5
    assert max(sizes) - min(sizes) <= 9  # one person
    for fold in folds:
        assert len({samples[i].label for i in fold.test}) == 3
    other = make_folds(samples, CLASSES, ProtocolConfig(name="k-fold", k=5, seed=1))
    assert other != folds
    with pytest.raises(TrainingError, match="23 people cannot make 24 folds"):
        make_folds(samples, CLASSES, ProtocolConfig(name="k-fold", k=24))


def test_fold_names_are_fit_for_directories():
    people = ["..", "../../x", "samm/006", "custom/a b:c", "custom/../x", "custom/ann a"]
    people += ["custom/ann-a", "custom/ANN-A", "custom-ann/a", "custom/" + "y" * 300]
    folds = make_folds([sample(person, 0) for person in people], ("a",), ProtocolConfig())
    names = [fold.name for fold in folds]
    assert "samm-006" in names and "custom-ann-a" in names
    assert len({name.casefold() for name in names}) == len(people)
    for name in names:
        assert Path(name).name == name and name != ".." and len(name.encode()) < 255


def test_pairs_of_databases_have_a_name_each():
    databases = ["a", "a-to-b", "b", "b-to-a", "a+b", "B", "../x"]
    samples = [sample(f"{name}/{k}", 0, name) for k, name in enumerate(databases)]
    for protocol, count in (("cross", 42), ("leave-one-database-out", 7)):
        names = [fold.name for fold in make_folds(samples, ("a",), ProtocolConfig(name=protocol))]
        assert len({name.casefold() for name in names}) == count
        assert all(Path(name).name == name for name in names)
    config = ProtocolConfig(name="cross", train=("a", "b"), test=("c",))
    (fold,) = make_folds([sample(f"{n}/1", 0, n) for n in "abc"], ("a",), config)
    assert fold.name == "a+b-to-c"


class Document:
    def __init__(self, database, **classes):
        self.database = database
        self.classes = classes


def test_a_mapping_must_mean_the_same_everywhere():
    three, four = ("a", "b", "c"), ("a", "b", "c", "d")
    one, two = Document("one", x=four, y=three), Document("two", y=three, x=three)
    assert common_mapping([one], None) == ("x", four)
    assert common_mapping([one, two], None) == ("y", three)
    with pytest.raises(ConfigError, match="one and two have different classes"):
        common_mapping([one, two], "x")
    with pytest.raises(ConfigError, match="one has no such mapping; it has x, y"):
        common_mapping([one, two], "z")
    with pytest.raises(ConfigError, match="no label mapping is common"):
        common_mapping([one, Document("three", z=three)], None)
