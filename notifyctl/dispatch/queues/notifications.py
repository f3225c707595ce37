"""Notifications that one provider is to deliver."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace

from notifyctl.core import failover, history
from notifyctl.core.change import Bury, Change, Release, Retry, Sent
from notifyctl.core.decide import Attempt, decide, veiled
from notifyctl.core.doubt import Evidence
from notifyctl.core.errors import DatabaseUnavailable, NotAllowed
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, Claim, OnUnknown
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.core.policy import Policy
from notifyctl.core.presence import Watch
from notifyctl.core.reach import was_not_reached
from notifyctl.dispatch.host import Host
from notifyctl.dispatch.lease import Lease
from notifyctl.dispatch.memory import give_back_large_blocks
from notifyctl.dispatch.queues import Portion
from notifyctl.dispatch.roster import Roster
from notifyctl.dispatch.run import Run
from notifyctl.dispatch.sender import Sender
from notifyctl.dispatch.tally import ProviderTally
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.claim import Batch, ClaimRequest, StandIn, claim, give_back
from notifyctl.store.queue.record import AttemptResult
from notifyctl.store.queue.take import MOST_BYTES

log = logging.getLogger(__name__)

_LARGE = frozenset({"attachments", "text", "html", "template_data", "variables"})
_FOR_ALL = frozenset({Kind.THROTTLED, Kind.CONFIG})
_NO_TEXT = "not recordable"
_BROKEN_OFF = Outcome(Kind.UNKNOWN, "broken off at shutdown before the provider answered")


@dataclass(frozen=True, slots=True)
class ClaimTerms:
    """How notifications are claimed.

    `holder` is the dispatcher's id, `run` says what counts as due, `watch` who lives.
    `most_bytes` is how many bytes large messages may have, together, that are in flight.
    """

    holder: str
    lease_ms: int
    run: Run
    watch: Watch
    concurrency: int = 64
    most_bytes: int = MOST_BYTES
    on_unknown: Mapping[Channel, OnUnknown] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """By what a queue asks and tells the rest of the dispatcher.

    `stand_ins` returns for whom a provider stands in now; `failing` takes note that a provider was found to fail;
    `refused` that its secrets could not be opened here, at that version of its configuration; `heard` that at a moment
    there were webhooks that may have been told of something. `host` is this machine.
    """

    stand_ins: Callable[[str], tuple[StandIn, ...]]
    failing: Callable[[], None]
    refused: Callable[[str, int, str], None]
    heard: Callable[[int], None]
    host: Host


class Notifications:
    """The notifications of one provider, as a lane works them off."""

    def __init__(
        self, provider: str, terms: ClaimTerms, roster: Roster, around: Surroundings, tally: ProviderTally
    ) -> None:
        self.provider = provider
        self._terms = terms
        self._roster = roster
        self._around = around
        self._tally = tally
        self._senders: dict[int, Sender] = {}
        self._unheard: list[str] = []
        self._ceiling: int | None = None
        self._evidence = Evidence()
        self._gave_back = False
        self._goes_on = True
        self._weight = 0
        """How many bytes the large messages in flight have. A claim in its thread may find it higher than it is."""

    def places(self) -> int:
        """Return how many calls may be made at once."""
        most = min(self._terms.concurrency, self._roster.at_once(self.provider))
        most = self._around.host.most(self.provider, most)
        return most if self._ceiling is None else min(most, self._ceiling)

    def takes_many(self) -> bool:
        """Return True: how many is a matter of the places."""
        return True

    def has_more(self) -> bool:
        """Return True: only a look tells."""
        return True

    def goes_on(self) -> bool:
        """Return whether no call was refused for all since the last look."""
        return self._goes_on

    def looks(self) -> None:
        """Nothing is known that a look would make stale."""

    def take(self, tx: Tx, room: int) -> Portion[Claim]:
        """Claim what is due; nothing while this host is in trouble.

        What an earlier claim took of which nothing was heard is given back.
        """
        if rests_ms := self._around.host.rests_ms():
            return Portion(wait_ms=rests_ms, rests=not self._around.host.gives_up)
        lease_id = str(uuid.uuid4())
        order = ClaimRequest(
            provider=self.provider,
            holder=self._terms.holder,
            limit=room,
            lease_ms=self._terms.lease_ms,
            due_by=self._terms.run.due_by,
            on_unknown=self._terms.on_unknown,
            policy=self._terms.policy,
            stands_in_for=self._around.stand_ins(self.provider),
            room=max(0, self._terms.most_bytes - self._weight),
            alone=not self._weight,
            lost=self._terms.watch.lost,
            undecided=self._terms.watch.undecided if self._terms.run.once else frozenset(),
            lease_id=lease_id,
            unheard=tuple(self._unheard),
        )
        batch = claim(tx, order)
        self._unheard.append(lease_id)  # until it is known what became of COMMIT; what failed before took nothing
        return Portion(
            batch.claims,
            now=batch.now,
            lease_ms=batch.lease_ms,
            deadline_ms=batch.deadline_ms,
            wait_ms=batch.wait_ms,
            settled=bool(batch.settled),
            spared=batch.spared,
            crowded=batch.crowded,
            unproven=batch.unproven,
            probes=batch.probes,
            detail=batch,
        )

    def noted(self, portion: Portion[Claim]) -> None:
        """Take note of what a claim found."""
        batch: Batch | None = portion.detail
        if batch is None:  # perhaps it was stored all the same
            return
        self._unheard.clear()
        self._goes_on = True
        if batch.held is not None and batch.held.lasts and self._tally.held != batch.held:
            self._around.failing()
        self._tally.held, self._ceiling = batch.held, batch.ceiling
        self._tally.dead += batch.settled.get("dead", 0)
        self._tally.cancelled += batch.settled.get("cancelled", 0)
        self._tally.deferred += batch.settled.get("deferred", 0)
        if batch.is_heard:
            self._around.heard(batch.now)
        if weight := sum(claim.weight for claim in batch.claims):
            give_back_large_blocks()
            self._weight += weight

    async def ready(self, portion: Portion[Claim]) -> bool:
        """Return whether there is a sender for the provider as it is configured now."""
        version: int = portion.detail.version
        if version in self._senders:
            return True
        try:
            sender = await self._roster.sender(self.provider, version)
        except NotAllowed as error:
            self._around.refused(self.provider, version, error.message)
            return False
        if sender is None:
            return False
        self._senders = {
            version: sender,
            **dict(list(self._senders.items())[:1]),
        }  # calls may still begin with the last
        return True

    async def attempt(self, item: Claim, lease: Lease) -> AttemptResult:
        """Deliver one notification, and decide what to record."""
        began_at, began, deadline_s = lease.moment(), time.monotonic(), lease.deadline_ms / 1_000
        end = lease.call_ends_by()
        sender = self._senders.get(item.version)
        if sender is None or not lease.allows_a_call():
            return self.release(item)
        said: Outcome | None = None
        try:
            answer = await sender.deliver(item.message, deadline_s, end)
            outcome = said = veiled(item, answer)
        except DatabaseUnavailable:
            self._gave_back = True
            return self.release(item)
        except asyncio.CancelledError:
            outcome = _BROKEN_OFF  # it may have been delivered, and the history says so
        except Exception as error:  # a defect, perhaps a third party's: it must not cost the place in flight
            log.exception("provider %s: an attempt failed", self.provider)
            outcome = Outcome(Kind.UNKNOWN, f"the attempt failed: {type(error).__name__}")
        if not was_not_reached(outcome):
            if outcome.asked:
                self._around.host.reached(self.provider)
        elif await self._is_ours(outcome):
            self._gave_back = True
            return self.release(item)
        self._goes_on = self._goes_on and outcome.kind not in _FOR_ALL
        item = self._let_go(item)
        self._tally.latencies.append((time.monotonic() - began) * 1_000)
        return AttemptResult(item, self._decided(Attempt(item, began_at, lease.moment()), outcome), said)

    def release(self, item: Claim) -> AttemptResult:
        """Return that no call was begun."""
        item = self._let_go(item)
        return AttemptResult(item, Release(item, item.due_at, item.attempt - 1, item.last_attempted))

    def gave_back(self) -> bool:
        """Return whether calls were not begun for trouble of this host that may be over soon."""
        gave_back, self._gave_back = self._gave_back, False
        return gave_back and not self._around.host.gives_up

    def left(self) -> Sequence[AttemptResult]:
        """Return nothing: what is claimed is begun."""
        return ()

    def unheard(self) -> Callable[[Tx], None] | None:
        """Return what gives back claims of which nothing was heard: for others they would be lost in the call."""
        lost = tuple(self._unheard)
        return (lambda tx: give_back(tx, self.provider, lost)) if lost else None

    async def _is_ours(self, outcome: Outcome) -> bool:
        """Return whether this host is why nothing was sent."""
        try:
            return await self._around.host.is_ours(self.provider, outcome, self._tally.in_flight)
        except asyncio.CancelledError:
            return True  # at shutdown: whoever takes it next will see

    def _let_go(self, item: Claim) -> Claim:
        """Take note that it is in flight no more; return it without what is large in it: results may wait for long."""
        if not item.weight:
            return item
        self._weight -= item.weight
        kept = {name: value for name, value in item.message.content.items() if name not in _LARGE}
        return item._replace(message=item.message._replace(content=kept))

    def _decided(self, attempt: Attempt, outcome: Outcome) -> Change:
        if (refused := failover.back(attempt, outcome)) is not None:
            return refused
        claimed = attempt.claim
        policy = self._terms.on_unknown.get(claimed.channel, OnUnknown.RETRY)
        others_go = self._noted(attempt, outcome)
        decided = decide(attempt, outcome, random.random(), policy, others_go=others_go)  # noqa: S311
        if type(decided) is not Retry:
            return decided
        return failover.elsewhere(decided, attempt, self._roster.others(claimed.provider))

    def _noted(self, attempt: Attempt, outcome: Outcome) -> bool:
        """Take note of what an outcome says of the configured sender; return whether it reaches others."""
        message = attempt.claim.message
        if outcome.kind is Kind.ACCEPTED:
            if not message.content.get("from"):
                self._evidence.accepted(attempt.ended_at)
            return False
        return outcome.is_doubtful and self._evidence.others_go(message.to, attempt.ended_at)


def bare(result: AttemptResult) -> AttemptResult:
    """Return a result without what may keep it from being stored: what others wrote, and what is not ASCII."""
    match result.change:
        case Sent() as sent:
            plain: Change = replace(sent, provider_response=None, provider_message_id=None, refusals=())
        case Retry() as retry:
            past = history.plain(retry.retry_history)
            plain = replace(retry, provider_response=None, error_message=_NO_TEXT, retry_history=past)
        case Bury() as bury:
            past = history.plain(bury.retry_history)
            plain = replace(bury, provider_response=None, error_message=_NO_TEXT, retry_history=past, refusals=())
        case _:
            return result
    return result._replace(change=plain)
