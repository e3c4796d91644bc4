"""What all tests share."""

import os

import jaxtyping
import pytest

from tests.shapes import CHECKED_MODULES

# Two files of tests run side by side on two cores. Threads of torch that wait for a busy core are
# ten times slower than one thread; torch reads this when it is imported, programs inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

# Before any of them is imported: shapes in signatures are checked at every call of a test.
jaxtyping.install_import_hook(CHECKED_MODULES, "tests.shapes.checked")


@pytest.fixture
def unchecked_shapes(monkeypatch):
    """As users have it: torch's compiler would find the checker in its way, not the network."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
