"""What a build has done, has in hand and has still to do: a state machine, without Dask or disk.

    a video   waiting -> in hand -> ended
                 ^          |-> waiting    cancelled, out of reach: tried again, a few times
                 |          |-> suspected  its worker died: tried again when nothing else runs
                 '-------------- ended     what was prepared turned out to be damaged
    a shard   open -> ready -> in hand -> finished
               ^        ^---------|          its task was lost: tried again, a few times
               '------------------'          a prepared video is damaged: that video is waiting

Every try is an `Attempt`. An answer counts only while its attempt is in hand, so that answers
may come late, twice or in any order: the second answer to an attempt, and any answer to an
attempt that was given up, change nothing. A shard is begun only when each of its videos has
ended, with exactly their outcomes.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Literal, TypeVar

from mol_pipeline.contract.manifest import Part
from mol_pipeline.contract.rejections import RejectionCode

Outcome = TypeVar("Outcome")
"""What preparing a video gives; opaque here."""
Receipt = TypeVar("Receipt")
"""What writing a shard gives; opaque here."""

Kind = Literal["video", "shard"]

MOST_TRIES = 4
"""Of one piece of work whose task was cancelled, or for whose files the world was at fault."""
MOST_DAMAGES = 3
"""Times that one video may be found damaged after it was prepared."""


def shard_members(videos: int, size: int, part: Part | None = None) -> dict[int, range]:
    """Which videos of an index go into which shard: `size` neighbours each.

    A part takes neighbouring shards, under the numbers that they have in a whole build.
    """
    firsts = range(0, videos, size)
    shards = [range(first, min(first + size, videos)) for first in firsts]
    low, high = 0, len(shards)
    if part is not None:
        low, high = ((part.number + i) * len(shards) // part.of for i in (-1, 0))
    return {number: shards[number] for number in range(low, high)}


class Trouble(Enum):
    """Why an attempt ended without a result."""

    KILLED = "killed"
    """Workers died under it: its own fault, or that of a neighbour."""
    CANCELLED = "cancelled"
    """Nobody works on it any more: a scheduler was restarted, a result was lost."""
    UNREACHABLE = "unreachable"
    """The world is at fault (a network disk): it may pass."""
    BROKEN = "crashed"
    """The program failed: it would fail again."""


@dataclass(frozen=True)
class Attempt:
    """One try at one piece of work."""

    kind: Kind
    number: int
    serial: int
    """No two attempts of a ledger have the same."""
    alone: bool = False
    """Nothing else runs beside it: if its worker dies again, it is the one at fault."""
    afresh: bool = False
    """What lies on disk is not to be trusted."""


@dataclass(frozen=True)
class Failure:
    """A video that could not be prepared for no fault of its own; another run tries again."""

    code: RejectionCode
    reason: str


class ShardLost(Exception):  # it is mapped to the error of the build
    """A shard cannot be written."""

    def __init__(self, shard: int, reason: str) -> None:
        super().__init__(reason)
        self.shard = shard


class Ledger(Generic[Outcome, Receipt]):
    """Keeps the books of a build.

    Args:
        members: The videos of each shard, in their order.
        finished: Receipts of shards that an earlier run finished.
        known: Outcomes of videos that an earlier run prepared.
    """

    def __init__(
        self,
        members: Mapping[int, Sequence[int]],
        *,
        finished: Mapping[int, Receipt] | None = None,
        known: Mapping[int, Outcome] | None = None,
    ) -> None:
        self._members = members
        self.receipts: dict[int, Receipt] = dict(finished or {})
        self._ended: dict[int, Outcome | Failure] = {}
        self._open: dict[int, int] = {}
        self._shard_of: dict[int, int] = {}
        self._again: deque[int] = deque()
        self._later: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._ready: deque[int] = deque()
        self._in_hand: dict[tuple[str, int], Attempt] = {}
        self._videos_in_hand = 0
        self._in_receipts = sum(len(members[shard]) for shard in self.receipts)
        self._tries: Counter[tuple[str, int]] = Counter()
        self._damages: Counter[int] = Counter()
        self._serial = 0
        known = known or {}
        for shard, videos in members.items():
            if shard in self.receipts:
                continue
            self._open[shard] = len(videos)
            self._shard_of.update(dict.fromkeys(videos, shard))
            for video in videos:
                if video in known:
                    self._end(video, known[video])
        self._fresh = self._untouched(frozenset(known))

    @property
    def is_complete(self) -> bool:
        """Whether every shard is finished."""
        return not self._open

    @property
    def in_hand(self) -> tuple[Attempt, ...]:
        """Attempts that are begun and not answered."""
        return tuple(self._in_hand.values())

    @property
    def ended(self) -> int:
        """Videos that have ended, those of finished shards included."""
        return self._in_receipts + len(self._ended)

    def outcomes(self, shard: int) -> dict[int, Outcome | Failure]:
        """How the videos of a ready shard ended, in their order."""
        return {video: self._ended[video] for video in self._members[shard]}

    def take(self, room: int) -> list[Attempt]:
        """Begin what can be begun now.

        Args:
            room: Videos in hand at most, at least one; shards are few and come first.
        """
        begun: list[Attempt] = []
        while self._ready:
            begun.append(self._begin("shard", self._ready.popleft()))
        while self._videos_in_hand < room and (video := self._next_video()) is not None:
            begun.append(self._begin("video", video, afresh=video in self._damages))
        if not self._in_hand and self._suspects:  # and nothing else is left to begin
            begun.append(self._begin("video", self._suspects.popleft(), alone=True))
        return begun

    def prepared(self, attempt: Attempt, outcome: Outcome) -> bool:
        """A video has ended; returns whether that answer counts."""
        if not self._answered(attempt):
            return False
        self._end(attempt.number, outcome)
        return True

    def written(self, attempt: Attempt, receipt: Receipt) -> bool:
        """A shard is written; returns whether that answer counts."""
        if not self._answered(attempt):
            return False
        self.receipts[attempt.number] = receipt
        del self._open[attempt.number]
        self._in_receipts += len(self._members[attempt.number])
        for video in self._members[attempt.number]:
            del self._ended[video], self._shard_of[video]
            self._damages.pop(video, None)
            self._tries.pop(("video", video), None)
        return True

    def failed(self, attempt: Attempt, trouble: Trouble, reason: str) -> Failure | None:
        """An attempt ended without a result; returns the failure if the video has ended by it.

        Raises:
            ShardLost: If a shard was tried often enough, or will never be written.
        """
        if not self._answered(attempt):
            return None
        key = attempt.kind, attempt.number
        self._tries[key] += 1
        hopeless = trouble is Trouble.BROKEN or self._tries[key] >= MOST_TRIES
        if attempt.kind == "shard":
            if hopeless:
                raise ShardLost(attempt.number, reason)
            self._ready.append(attempt.number)
            return None
        if trouble is Trouble.KILLED and not attempt.alone:
            self._suspects.append(attempt.number)
            return None
        if hopeless or trouble is Trouble.KILLED:
            passing = trouble is Trouble.UNREACHABLE
            failure = Failure("unreachable" if passing else "crashed", reason)
            self._end(attempt.number, failure)
            return failure
        if attempt.alone:
            self._suspects.append(attempt.number)
        elif trouble is Trouble.UNREACHABLE:
            self._later.append(attempt.number)  # the longer it waits, the likelier it passed
        else:
            self._again.append(attempt.number)
        return None

    def damaged(self, attempt: Attempt, videos: Mapping[int, str]) -> bool:
        """A shard could not be written because prepared videos are damaged; these are made anew.

        Args:
            attempt: Of the shard.
            videos: What is wrong with each.
        """
        if not self._answered(attempt):
            return False
        shard = attempt.number
        for video, reason in videos.items():
            del self._ended[video]
            self._open[shard] += 1
            self._damages[video] += 1
            if self._damages[video] >= MOST_DAMAGES:
                words = f"was damaged {MOST_DAMAGES} times after it was prepared ({reason})"
                self._end(video, Failure(Trouble.BROKEN.value, words))
            else:
                self._again.append(video)
        if not videos:
            self._ready.append(shard)
        return True

    def _answered(self, attempt: Attempt) -> bool:
        key = attempt.kind, attempt.number
        if self._in_hand.get(key) != attempt:
            return False
        del self._in_hand[key]
        self._videos_in_hand -= attempt.kind == "video"
        return True

    def _begin(
        self, kind: Kind, number: int, *, alone: bool = False, afresh: bool = False
    ) -> Attempt:
        self._serial += 1
        attempt = Attempt(kind, number, self._serial, alone=alone, afresh=afresh)
        self._in_hand[kind, number] = attempt
        self._videos_in_hand += kind == "video"
        return attempt

    def _end(self, video: int, outcome: Outcome | Failure) -> None:
        self._ended[video] = outcome
        shard = self._shard_of[video]
        self._open[shard] -= 1
        if self._open[shard] == 0:
            self._ready.append(shard)

    def _next_video(self) -> int | None:
        if self._again:
            return self._again.popleft()
        video = next(self._fresh, None)
        return self._later.popleft() if video is None and self._later else video

    def _untouched(self, known: frozenset[int]) -> Iterator[int]:
        """Videos that were never begun; shard by shard, so that few shards are open at once."""
        for shard in [*self._open]:
            for video in self._members[shard]:
                if video not in known:
                    yield video
