"""What every worker process of a local cluster does first (a Dask preload module)."""

import signal


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the main process: it closes the workers, which then say nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
