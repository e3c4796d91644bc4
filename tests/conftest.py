"""What all tests share."""

import os

# Two files of tests run side by side on two cores. Threads of torch that wait for a busy core are
# ten times slower than one thread; torch reads this when it is imported, programs inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
