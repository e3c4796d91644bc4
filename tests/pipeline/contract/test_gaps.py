"""Absent numbers are runs: nothing is lost by it, and it costs no memory."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mol_pipeline.contract.gaps import Gaps, ends, gap_count, gaps_between, gaps_inside, gaps_text

NUMBERS = st.sets(st.integers(-5, 40))


def absent(gaps):
    return [n for low, high in map(ends, gaps) for n in range(low, high + 1)]


@given(NUMBERS, st.integers(-3, 20), st.integers(-3, 40))
def test_runs_say_what_a_list_says(numbers, first, last):
    gaps = gaps_between(numbers, first, last)
    expected = [n for n in range(first, last + 1) if n not in numbers]
    assert absent(gaps) == expected
    assert gap_count(gaps) == len(expected)


@given(NUMBERS, st.integers(-3, 20), st.integers(-3, 40))
def test_a_part_of_the_runs_is_that_of_the_list(numbers, low, high):
    gaps = gaps_between(numbers, 0, 30)
    assert absent(gaps_inside(gaps, low, high)) == [n for n in absent(gaps) if low <= n <= high]


def test_nanoseconds_cost_no_memory():
    stamps = range(10**18, 10**18 + 40 * 40_000_000, 40_000_000)
    tracemalloc.start()
    gaps = gaps_between(stamps, stamps[0], stamps[-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(gaps) == 39
    assert gap_count(gaps) == 39 * 39_999_999
    assert peak < 100_000


def test_one_number_is_written_alone_as_manifests_always_did():
    assert gaps_between({1, 3, 6}, 1, 6) == (2, (4, 5))
    assert gaps_text((2, (4, 5))) == "2, 4-5"
    read = TypeAdapter(Gaps).validate_json
    assert read("[2, 4, 5]") == (2, 4, 5)
    assert read("[2, [4, 5]]") == (2, (4, 5))
    with pytest.raises(ValidationError):
        read("[[4]]")
