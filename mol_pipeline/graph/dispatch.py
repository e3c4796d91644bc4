"""Between the ledger and Dask: begin what the ledger gives out, tell it what came back."""

import contextlib
import logging
import time
from asyncio import CancelledError as AsyncioCancelledError
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

from distributed import Client, Future, KilledWorker, as_completed
from distributed.comm import CommClosedError

from mol_pipeline.contract.errors import ConfigError, MolError, StageError
from mol_pipeline.databases.index import SourceVideo
from mol_pipeline.graph import tasks
from mol_pipeline.graph.cluster import Crew
from mol_pipeline.graph.fitness import Identity, UnfitWorker
from mol_pipeline.graph.ledger import Attempt, Failure, Ledger, ShardLost, Trouble
from mol_pipeline.graph.run_folder import DamagedSpool, Outcome, OutOfSight
from mol_pipeline.graph.workplace import Receipt, cannot_write
from mol_pipeline.stages.video import SourceFault

logger = logging.getLogger(__name__)

GONE = (CancelledError, AsyncioCancelledError, TimeoutError)
"""What Dask raises for a result that nobody has any more."""

INTRODUCE_YOURSELF = (
    "__import__('mol_pipeline.graph.tasks', fromlist=['_']).THIS_PROCESS.model_dump()"
)
"""An expression, so that a worker without this program can answer too."""

EXAMINE_EVERY_S = 5.0
"""How often workers that joined meanwhile are looked for."""

Books = Ledger[Outcome, Receipt]


class Alike:
    """Makes sure that all workers of a build compute alike, those of its earlier runs too."""

    def __init__(self) -> None:
        self._first: tuple[str, str] | None = None

    def compare(self, numbers: str, key: str) -> None:
        """Compare the numbers of the worker that made something with those of the first.

        Raises:
            ConfigError: If they differ.
        """
        if self._first is None:
            self._first = numbers, key
        elif numbers != self._first[0]:
            raise ConfigError(
                f"the workers that made {self._first[1]} and {key} compute different numbers from "
                "one picture (other processors, or other builds of a library); keep to one kind "
                "of node, e.g. by a constraint of the batch system, or --overwrite to start anew"
            )


class Dispatcher:
    """Runs the tasks of one build.

    Args:
        ledger: What is to be done.
        commission: What all tasks share.
        videos: Of the index.
        alike: What workers computed so far.
        take_shard: Called with each written shard, to give it its name.
        on_video: Called with a video and its outcome when it has ended.
        shard_path: Final path of a shard.
    """

    def __init__(
        self,
        ledger: Books,
        commission: tasks.Commission,
        videos: tuple[SourceVideo, ...],
        *,
        alike: "Alike",
        shard_path: Callable[[int], Path],
        take_shard: Callable[[int, tasks.WrittenShard], None],
        on_video: Callable[[int, Outcome | Failure], None],
    ) -> None:
        self._ledger = ledger
        self._commission = commission
        self._videos = videos
        self._shard_path = shard_path
        self._take_shard = take_shard
        self._on_video = on_video
        self._alike = alike
        self._examined: set[str] = set()
        self._next_examination = 0.0
        self._begun: dict[object, Attempt] = {}

    def run(self, crew: Crew) -> None:
        """Work until every shard is finished.

        Raises:
            ConfigError: If a worker would compute something else than the builder.
            StageError: If the output cannot be written, or no worker can be had.
        """
        pool = as_completed(loop=crew.client.loop)
        futures: dict[object, Future] = {}
        try:
            self._begin(crew, pool, futures)
            for future in crew.finished(pool):
                futures.pop(future.key, None)
                attempt = self._begun.pop(future.key)
                self._hear(attempt, future)
                future.release()
                self._begin(crew, pool, futures)
        except BaseException as error:
            if futures and crew.client.status == "running":
                with contextlib.suppress(OSError):
                    crew.client.cancel(list(futures.values()), force=True)  # a scheduler of others
            if isinstance(error, CommClosedError):  # in the midst of a question to it
                raise crew.loss("the connection to it was closed") from error
            raise

    def _examine(self, client: Client) -> None:
        """Ask workers that joined who they are, before a task of ours kills or misleads them.

        Raises:
            ConfigError: If one cannot run this program, or another state of it.
        """
        if time.monotonic() < self._next_examination or client.status != "running":
            return
        try:
            new = [address for address in client.nthreads() if address not in self._examined]
            answers = (
                client.run(eval, INTRODUCE_YOURSELF, workers=new, on_error="return") if new else {}
            )
        except OSError as error:  # the scheduler is just being connected again, or gone
            logger.debug("workers that joined are asked later (%s)", error)
            return
        for address, answer in answers.items():
            if isinstance(answer, OSError):
                continue  # it left before it could answer
            if isinstance(answer, BaseException):
                raise ConfigError(
                    f"worker {address} cannot run this program ({type(answer).__name__}: "
                    f"{answer}); install the same version of it, and of everything it needs, there"
                ) from answer
            found = self._commission.builder.differences(Identity.model_validate(answer))
            if found:
                raise self._unfit(UnfitWorker(address, f"has {', '.join(found)}"))
            self._examined.add(address)
        self._next_examination = time.monotonic() + EXAMINE_EVERY_S

    def _begin(self, crew: Crew, pool: as_completed, futures: dict[object, Future]) -> None:
        self._examine(crew.client)
        for attempt in self._ledger.take(crew.window()):
            future = self._submit(crew.client, attempt)
            self._begun[future.key] = attempt
            futures[future.key] = future
            pool.add(future)

    def _submit(self, client: Client, attempt: Attempt) -> Future:
        folder, number = self._commission.folder, attempt.number
        # A scheduler may serve several builds, and remember earlier ones.
        key = f"molprep_{attempt.kind}-{folder.state}-{folder.run}-{number}-{attempt.serial}"
        if attempt.kind == "video":
            return client.submit(
                tasks.prepare,
                self._commission,
                number,
                self._videos[number],
                afresh=attempt.afresh,
                key=key,
                pure=False,
            )
        outcomes = self._ledger.outcomes(number)
        return client.submit(
            tasks.write,
            self._commission,
            number,
            self._shard_path(number).name,
            {video: self._videos[video] for video in outcomes},
            outcomes,
            key=key,
            priority=10,
            pure=False,
        )

    def _hear(self, attempt: Attempt, future: Future) -> None:
        """Tell the ledger what became of an attempt."""
        try:
            error = future.exception() if future.status == "error" else None
            result = None if error is not None else future.result()
        except GONE as gone:  # cancelled, or lost with its worker: nobody computes it any more
            self._fail(attempt, Trouble.CANCELLED, f"cancelled ({type(gone).__name__})")
            return
        if error is not None:
            self._hear_error(attempt, error)
        elif isinstance(result, Outcome):
            self._alike.compare(result.numbers, result.key)
            if self._ledger.prepared(attempt, result):
                self._on_video(attempt.number, result)
        elif isinstance(result, tasks.WrittenShard):
            self._take(attempt, result)
        else:
            raise TypeError(f"{future.key}: its task gave {type(result).__name__}")

    def _take(self, attempt: Attempt, written: tasks.WrittenShard) -> None:
        try:
            self._take_shard(attempt.number, written)
        except FileNotFoundError as error:
            if (removed := self._removed()) is not None:
                raise removed from error
            self._fail(attempt, Trouble.CANCELLED, f"its file is gone ({error})")
        else:
            self._ledger.written(attempt, written.receipt)

    def _hear_error(self, attempt: Attempt, error: BaseException) -> None:
        out = self._shard_path(0).parent
        match error:
            case UnfitWorker():
                raise self._unfit(error) from error
            case tasks.CannotWrite():
                raise cannot_write(out, error.errno, error.text) from error
            case DamagedSpool():
                for number, reason in error.videos.items():
                    logger.warning("%s: %s; it is prepared anew", self._videos[number].key, reason)
                self._ledger.damaged(attempt, error.videos)
            case KilledWorker():
                self._fail(attempt, Trouble.KILLED, f"KilledWorker: {error}")
            case MolError():  # what all videos need is absent where it runs
                raise error
            case SourceFault():
                self._fail(attempt, Trouble.UNREACHABLE, str(error))
            case _:
                self._fail(attempt, Trouble.BROKEN, f"{type(error).__name__}: {error}")

    def _fail(self, attempt: Attempt, trouble: Trouble, reason: str) -> None:
        try:
            failure = self._ledger.failed(attempt, trouble, reason)
        except ShardLost as lost:
            raise StageError(
                f"{self._shard_path(lost.shard)}: could not be written ({lost}); what is prepared "
                "is kept: run again"
            ) from lost
        if failure is not None:
            self._on_video(attempt.number, failure)

    def _unfit(self, error: UnfitWorker) -> ConfigError | StageError:
        """What to say of a worker that cannot take part."""
        return self._removed() or ConfigError(
            f"{error}; every worker must have the versions, the files and the disks of the "
            "process that builds: put that worker right, or start the build without it"
        )

    def _removed(self) -> StageError | None:
        """What to say if the output directory went away under the build."""
        try:
            self._commission.folder.check()
        except OutOfSight:
            return StageError(
                f"{self._shard_path(0).parent}: was removed or replaced while the build ran; "
                "run again to build it"
            )
        return None
