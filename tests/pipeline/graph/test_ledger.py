"""The books of a build: in any order of events, with any loss, the same end."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mol_pipeline.graph.ledger import (
    MOST_DAMAGES,
    MOST_TRIES,
    Failure,
    Ledger,
    ShardLost,
    Trouble,
    shard_members,
)


def outcome_of(video):
    return f"prepared {video}"


def receipt_of(outcomes):
    return tuple(outcomes.items())


def expected(members):
    return {
        shard: receipt_of({video: outcome_of(video) for video in videos})
        for shard, videos in members.items()
    }


def run_through(ledger, room=3):
    """Answer everything at once; returns the attempts in the order in which they were begun."""
    begun = []
    while not ledger.is_complete:
        attempts = ledger.take(room)
        begun += attempts
        assert attempts, "nothing is in hand, nothing is begun, and it is not complete"
        for attempt in attempts:
            answer(ledger, attempt)
    return begun


def answer(ledger, attempt):
    if attempt.kind == "video":
        return ledger.prepared(attempt, outcome_of(attempt.number))
    return ledger.written(attempt, receipt_of(ledger.outcomes(attempt.number)))


class AnyOrderAnyLoss(RuleBasedStateMachine):
    """Dask and the world at their worst: late, doubled, lost and wrong answers, dead builders."""

    @initialize(videos=st.integers(1, 12), size=st.integers(1, 5), room=st.integers(1, 6))
    def begin(self, videos, size, room):
        self.members = shard_members(videos, size)
        self.room = room
        self.on_disk = {}
        self.receipts_on_disk = {}
        self.given_up = []
        self.troubles = 0
        self.start()

    def start(self):
        self.given_up += [] if not hasattr(self, "ledger") else list(self.ledger.in_hand)
        self.ledger = Ledger(self.members, finished=self.receipts_on_disk, known=dict(self.on_disk))
        self.in_hand = []

    @rule()
    def begin_what_can_be_begun(self):
        begun = self.ledger.take(self.room)
        for attempt in begun:
            assert not attempt.alone or (begun == [attempt] and not self.in_hand)
        self.in_hand += begun

    @precondition(lambda self: self.in_hand)
    @rule(choice=st.randoms(use_true_random=False))
    def one_succeeds(self, choice):
        attempt = self.in_hand.pop(choice.randrange(len(self.in_hand)))
        if attempt.kind == "video":
            self.on_disk[attempt.number] = outcome_of(attempt.number)
            assert self.ledger.prepared(attempt, outcome_of(attempt.number))
        else:
            receipt = receipt_of(self.ledger.outcomes(attempt.number))
            self.receipts_on_disk[attempt.number] = receipt
            assert self.ledger.written(attempt, receipt)
        self.given_up.append(attempt)

    @precondition(lambda self: self.given_up)
    @rule(choice=st.randoms(use_true_random=False), good=st.booleans())
    def an_answer_comes_again_or_too_late(self, choice, good):
        late = choice.choice(self.given_up)
        if late in self.ledger.in_hand:
            return  # a new builder counts from 1 again; Dask's keys tell the runs apart
        before = dict(self.ledger.receipts), self.ledger.ended
        if not good:
            assert self.ledger.failed(late, Trouble.BROKEN, "late") is None
        elif late.kind == "video":
            assert not self.ledger.prepared(late, "something else")
        else:
            assert not self.ledger.written(late, ("something else",))
            assert not self.ledger.damaged(late, {self.members[late.number][0]: "late"})
        assert before == (dict(self.ledger.receipts), self.ledger.ended)

    @precondition(lambda self: self.in_hand and self.troubles < MOST_TRIES - 1)
    @rule(
        choice=st.randoms(use_true_random=False),
        trouble=st.sampled_from((Trouble.KILLED, Trouble.CANCELLED, Trouble.UNREACHABLE)),
    )
    def one_is_lost(self, choice, trouble):
        attempt = self.in_hand.pop(choice.randrange(len(self.in_hand)))
        if attempt.alone and trouble is Trouble.KILLED:
            trouble = Trouble.CANCELLED  # else it would be rejected, and rightly
        self.troubles += 1
        assert self.ledger.failed(attempt, trouble, "lost") is None
        self.given_up.append(attempt)

    @precondition(lambda self: any(one.kind == "shard" for one in self.in_hand))
    @rule(choice=st.randoms(use_true_random=False))
    def prepared_videos_turn_out_to_be_damaged(self, choice):
        attempt = next(one for one in self.in_hand if one.kind == "shard")
        videos = [v for v in self.members[attempt.number] if choice.random() < 0.5]
        if self.troubles + len(videos) >= MOST_DAMAGES:
            return
        self.troubles += len(videos)
        self.in_hand.remove(attempt)
        for video in videos:
            self.on_disk.pop(video, None)
        assert self.ledger.damaged(attempt, dict.fromkeys(videos, "its hash differs"))
        self.given_up.append(attempt)

    @rule(choice=st.randoms(use_true_random=False))
    def the_builder_is_killed_and_started_again(self, choice):
        for video in list(self.on_disk):
            if choice.random() < 0.3:
                del self.on_disk[video]  # its record was damaged, or never written
        for shard in list(self.receipts_on_disk):
            if choice.random() < 0.2:
                del self.receipts_on_disk[shard]
        self.start()

    @invariant()
    def nothing_is_done_twice_at_once_or_begun_too_early(self):
        if not hasattr(self, "ledger"):
            return
        keys = [(one.kind, one.number) for one in self.ledger.in_hand]
        assert len(keys) == len(set(keys))
        assert sum(kind == "video" for kind, _ in keys) <= self.room
        assert not any(one.alone for one in self.ledger.in_hand) or len(keys) == 1
        for kind, number in keys:
            if kind == "shard":
                assert [*self.ledger.outcomes(number)] == [*self.members[number]]

    def teardown(self):
        if not hasattr(self, "ledger"):
            return
        for attempt in self.in_hand:
            answer(self.ledger, attempt)
        if not self.ledger.is_complete:
            run_through(self.ledger, self.room)
        assert self.ledger.receipts == expected(self.members)
        assert self.ledger.ended == sum(map(len, self.members.values()))
        assert self.ledger.take(self.room) == []


TestAnyOrderAnyLoss = AnyOrderAnyLoss.TestCase
TestAnyOrderAnyLoss.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_shards_are_written_as_soon_as_their_videos_have_ended():
    begun = run_through(Ledger(shard_members(6, 2)), room=2)
    assert [f"{one.kind} {one.number}" for one in begun] == [
        *("video 0", "video 1", "shard 0", "video 2", "video 3", "shard 1"),
        *("video 4", "video 5", "shard 2"),
    ]


def test_what_an_earlier_run_prepared_is_not_begun_again():
    known = {video: outcome_of(video) for video in (2, 3, 5)}
    begun = run_through(Ledger(shard_members(6, 2), known=known), room=1)
    assert [one.number for one in begun if one.kind == "video"] == [0, 1, 4]
    assert sorted(one.number for one in begun if one.kind == "shard") == [0, 1, 2]


def test_a_video_whose_worker_died_is_tried_alone_and_then_given_up():
    ledger = Ledger(shard_members(3, 3))
    first, second, third = ledger.take(3)
    ledger.failed(second, Trouble.KILLED, "its worker died")
    answer(ledger, first)
    assert ledger.take(3) == []  # the third is in hand: nothing runs beside a suspect
    answer(ledger, third)
    (again,) = ledger.take(3)
    assert again.number == second.number and again.alone
    failure = ledger.failed(again, Trouble.KILLED, "its worker died")
    assert failure == Failure("crashed", "its worker died")
    (shard,) = ledger.take(3)
    assert ledger.outcomes(shard.number) == {0: outcome_of(0), 1: failure, 2: outcome_of(2)}


@pytest.mark.parametrize(
    ("trouble", "code"), [(Trouble.CANCELLED, "crashed"), (Trouble.UNREACHABLE, "unreachable")]
)
def test_what_may_pass_is_tried_again_but_not_for_ever(trouble, code):
    ledger = Ledger(shard_members(1, 1))
    for _ in range(MOST_TRIES - 1):
        (attempt,) = ledger.take(1)
        assert ledger.failed(attempt, trouble, "why") is None
    (attempt,) = ledger.take(1)
    assert ledger.failed(attempt, trouble, "why") == Failure(code, "why")


def test_what_is_out_of_reach_waits_until_the_others_have_run():
    ledger = Ledger(shard_members(3, 3))
    (first,) = ledger.take(1)
    ledger.failed(first, Trouble.UNREACHABLE, "stale file handle")
    order = [one.number for one in run_through(ledger, room=1) if one.kind == "video"]
    assert order == [1, 2, 0]


def test_a_video_that_is_damaged_again_and_again_is_named():
    ledger = Ledger(shard_members(1, 1), known={0: outcome_of(0)})
    for _ in range(MOST_DAMAGES - 1):
        (shard,) = ledger.take(1)
        assert ledger.damaged(shard, {0: "its hash differs"})
        (video,) = ledger.take(1)
        assert video.afresh
        answer(ledger, video)
    (shard,) = ledger.take(1)
    assert ledger.damaged(shard, {0: "its hash differs"})
    (shard,) = ledger.take(1)
    assert "was damaged 3 times" in ledger.outcomes(0)[0].reason


def test_a_shard_that_cannot_be_written_ends_the_build():
    ledger = Ledger(shard_members(1, 1), known={0: outcome_of(0)})
    for _ in range(MOST_TRIES - 1):
        (shard,) = ledger.take(1)
        assert ledger.failed(shard, Trouble.CANCELLED, "lost") is None
    (shard,) = ledger.take(1)
    with pytest.raises(ShardLost, match="lost"):
        ledger.failed(shard, Trouble.CANCELLED, "lost")
