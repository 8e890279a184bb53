"""The loop: read, work, commit; the same for every service.

    poll -> restore what is newly assigned -> stage.work -> one transaction a commit -> after()

Nothing here knows what the records mean. What can happen and what follows:

| what | what follows |
|---|---|
| a rebalance | the batch is dropped; state of lost partitions is forgotten, of new ones restored |
| Unavailable | wait with back-off while polling, then the same records again |
| LeaseLost | rewind to the committed offsets, read again |
| Refused | marks cleared, since no input is to blame; then the process ends |
| too many inputs in a row that are dead letters | the same; the next one ends at once |
| Fenced, any other error | the process ends; see crash_marks.py for what the next one does |
| a stop signal | after the commit in work: marks cleared, slot and partitions given back |
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from opstrail_runtime.backoff import Backoff
from opstrail_runtime.crash_marks import (
    CLEAN,
    RUNNING,
    Care,
    Mark,
    care_after,
    care_after_progress,
    care_after_setting_aside,
    mark_of,
    text_of,
)
from opstrail_runtime.errors import Fenced, LeaseLost, OutcomeUnknown, Refused, Unavailable
from opstrail_runtime.failpoints import pass_by
from opstrail_runtime.source import Batch, Committed, Lease, Source
from opstrail_runtime.stage import Commit, Partition, Record, Stage
from opstrail_runtime.telemetry import (
    DeadLettersWritten,
    LoopBeat,
    PartitionsAssigned,
    PartitionsRevoked,
    RecordSetAside,
    TransactionAborted,
    TransactionCommitted,
    Waiting,
    emit,
)
from opstrail_runtime.writer import Writer

BEAT_S = 1.0


class Stopping(Exception):
    """The time to finish work after a stop signal is over."""


class OffsetsMissing(Exception):
    """A partition has no committed offset and its log does not start at 0: say where to begin."""


class TooManyRefused(Exception):
    """Input after input became a dead letter: it is rarely the inputs."""


class OurBug(Exception):
    """Inputs kill the process one after the other: it is not the inputs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the loop takes at once, how long it waits, and what it does not put up with."""

    most_records: int = 2_000
    poll_s: float = 0.2
    drain_s: float = 20.0
    from_earliest: bool = False
    clear_crash_marks: bool = False
    most_refused: int = 0  # inputs of a partition in a row; 0: no limit


@dataclass(slots=True)
class Loop:
    """Drives one stage. `monotonic` gives seconds; `stopping` says whether a stop was asked for."""

    name: str
    stage: Stage
    source: Source
    writer: Writer
    limits: Limits
    backoff: Backoff
    monotonic: Callable[[], float]
    stopping: Callable[[], bool]
    ready: bool = False
    _positions: dict[Partition, int] = field(default_factory=dict)
    _cares: dict[Partition, Care] = field(default_factory=dict)
    _refused: dict[Partition, int] = field(default_factory=dict)  # inputs in a row, so far
    _waiting_to_begin: set[Partition] = field(default_factory=set)
    _stop_asked_at: float | None = None
    _polled_at: float = 0.0
    _in_doubt: bool = False  # a commit of unknown outcome: `_positions` may be behind it
    _failures: int = 0

    def run(self) -> None:
        """Work until a stop is asked for.

        Raises Fenced, Refused, OffsetsMissing, TooManyRefused, OurBug, bugs.
        """
        try:
            with suppress(Stopping):  # what is not committed is read again by whoever comes next
                while not self.stopping():
                    self.step()
            self._stop_cleanly()
        except (Refused, TooManyRefused):
            # Else the next process would take this end for a death at the input that was in work.
            with suppress(Refused, Fenced):
                self._stop_cleanly()
            raise
        finally:
            self.source.close()
            self.writer.close()

    def step(self) -> int:
        """Poll once and work on what came. Returns the number of records worked on."""
        try:
            worked_on = self._step()
        except OutcomeUnknown as unknown:
            self._in_doubt = True
            emit(TransactionAborted(self.name, str(unknown)))
            self._patiently(self._start_over)
        except LeaseLost as lost:
            emit(TransactionAborted(self.name, str(lost)))
            self._patiently(self._rewind)
        except Unavailable as away:
            # Outside of a stage's work: what was polled is lost, so it is read again.
            emit(TransactionAborted(self.name, str(away)))
            self._failures += 1
            self._wait_through(self.backoff.wait_s(self._failures), why=str(away))
            self._patiently(self._rewind)
        else:
            self._failures = 0
            return worked_on
        return 0

    # The heart, given to stages whose work takes long (stage.Pulse).

    def beat(self) -> None:
        """Keep membership and liveness during long work. Raises LeaseLost, Stopping.

        Cheap: it polls once a second at most, however often it is called.
        """
        if self.monotonic() - self._polled_at < BEAT_S:
            return
        lease = self.source.lease()
        self.source.hold()
        try:
            self._poll(0)
        finally:
            self.source.release()
        if not self.source.holds(lease):
            raise LeaseLost("a rebalance came while records were in work")
        self._check_drain()

    def wait(self, seconds: float, *, why: str) -> None:
        """Wait, polling on. Raises LeaseLost on a rebalance, Stopping when asked to stop."""
        emit(Waiting(self.name, why, seconds))
        until = self.monotonic() + seconds
        lease = self.source.lease()
        self.source.hold()
        try:
            while (left := until - self.monotonic()) > 0:
                self._poll(min(left, self.limits.poll_s))
                if not self.source.holds(lease):
                    raise LeaseLost("a rebalance came while waiting")
                if self.stopping():
                    raise Stopping
        finally:
            self.source.release()

    # What follows is the loop's own.

    def _step(self) -> int:
        batch = self._poll(self.limits.poll_s)
        self._follow_changes()
        if not batch.records:
            self._commit_ends()
            return 0
        pass_by("after-poll")
        if not self.source.holds(batch.lease):
            raise LeaseLost("a rebalance came while partitions were restored")
        careful = [record for record in batch.records if self._cares[record.partition].size]
        self._work(
            [record for record in batch.records if not self._cares[record.partition].size],
            batch.lease,
        )
        for records in _by_partition(careful):
            self._work_carefully(records, batch.lease)
        return len(batch.records)

    def _poll(self, timeout_s: float) -> Batch:
        batch = self.source.poll(timeout_s=timeout_s, most_records=self.limits.most_records)
        self._polled_at = self.monotonic()
        emit(LoopBeat(self.name))
        return batch

    def _follow_changes(self) -> None:
        """Begin what was assigned. Ready is also a member that the group has nothing for: a spare
        one that never were would stop a rolling update at its pod.
        """
        self._note_changes()
        if self._waiting_to_begin:
            self.ready = False
            emit(PartitionsAssigned(self.name, len(self._waiting_to_begin)))
            self._patiently(self._begin)
            self.ready = True

    def _note_changes(self) -> None:
        changes = self.source.changes()
        if changes.revoked:
            self._forget(changes.revoked)
        self._waiting_to_begin |= set(changes.assigned)
        self.ready |= changes.balanced and not self._waiting_to_begin

    def _forget(self, partitions: Sequence[Partition]) -> None:
        emit(PartitionsRevoked(self.name, len(partitions)))
        for partition in partitions:
            self._positions.pop(partition, None)
            self._cares.pop(partition, None)
            self._refused.pop(partition, None)
            self._waiting_to_begin.discard(partition)
        self.stage.forget(partitions)

    def _begin(self) -> None:
        """Restore the state of new partitions, find where to begin, mark them as in work."""
        # An empty transaction first: taking the slot ends what a dead process left open there. Else
        # the state waits for that transaction to time out (as long as it may last, measured).
        self.writer.commit((), {}, self.source.lease())
        new = sorted(self._waiting_to_begin)
        self.stage.restore(new, self)
        pass_by("after-restore")
        committed = self._where_to_begin(new)
        for partition, (at, mark) in committed.items():
            self._positions[partition] = at
            self._cares[partition] = care_after(mark)
            self._refused[partition] = mark.refused
            self._check_refused(partition)
            if self._cares[partition].is_our_bug:
                raise OurBug(
                    f"{self.name}: {self._cares[partition].set_aside} inputs in a row from "
                    f"{partition.topic} {partition.number} at {at} on killed the process; they are "
                    "dead letters `crashed`. Mend the service, then start it with "
                    "--clear-crash-marks"
                )
        untouched = {
            partition: Committed(at, text_of(replace(RUNNING, refused=mark.refused)))
            for partition, (at, mark) in committed.items()
            if mark.stopped
        }
        if untouched:
            self.writer.commit((), untouched, self.source.lease())
        self.source.begin({partition: self._positions[partition] for partition in new})
        self._waiting_to_begin.clear()

    def _where_to_begin(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, Mark]]:
        found = self.source.committed(partitions)
        begin = {}
        for partition, start in self.source.log_starts(partitions).items():
            at = found.get(partition)
            first = 0 if at is None else at.offset
            if first < start and not self.limits.from_earliest:
                held = "no committed offset" if at is None else f"{at.offset} is committed"
                raise OffsetsMissing(
                    f"{self.name}: {held} for {partition.topic} {partition.number}, and its "
                    f"offsets {first} to {start - 1} are gone. A new group on an old log is "
                    "started once with --from-earliest; if it is not new, records were lost "
                    "before they were read, and --from-earliest goes on behind them"
                )
            if at is None or first < start:
                begin[partition] = (start, CLEAN)
            else:
                clear = self.limits.clear_crash_marks
                begin[partition] = (first, CLEAN if clear else mark_of(at.metadata))
        return begin

    def _work(
        self,
        records: Sequence[Record],
        lease: Lease,
        under_way: Mapping[Partition, Mark] | None = None,
    ) -> None:
        """Work until all is committed. `under_way`: marks to commit with a part of an input."""
        attempt = 0
        while records:
            try:
                for commit in self.stage.work(records, self):
                    self._commit(commit, lease, RUNNING, under_way, records)
                    records = [r for r in records if r.offset >= self._positions[r.partition]]
                    attempt = 0
                    if records:
                        self._check_drain()
            except Unavailable as away:
                attempt += 1
                self.wait(self.backoff.wait_s(attempt), why=str(away))
            else:
                if records:
                    raise AssertionError(f"{self.name}: {len(records)} records were not committed")

    def _work_carefully(self, records: Sequence[Record], lease: Lease) -> None:
        """Work in portions, each announced by a mark, in a partition where a process died."""
        partition = records[0].partition
        while records:
            care = self._cares[partition]
            if not care.size:
                self._work(records, lease)
                return
            if care.sets_aside:
                self._set_aside(records[0], lease, care)
                portion = records[:1]
            else:
                portion = records[: care.size]
                at = portion[0].offset
                mark = replace(
                    care.mark(portion[-1].offset + 1), refused=self._refused.get(partition, 0)
                )
                self.writer.commit((), {partition: Committed(at, text_of(mark))}, lease)
                # A chunk of a file that got through is progress: earlier deaths do not count.
                self._work(portion, lease, {partition: replace(mark, deaths=0, set_aside=0)})
                self._cares[partition] = care_after_progress(care, self._positions[partition])
            records = records[len(portion) :]

    def _set_aside(self, record: Record, lease: Lease, care: Care) -> None:
        emit(RecordSetAside(self.name, str(record.partition.topic), record.offset))
        after = care_after_setting_aside(care)
        self._commit(self.stage.set_aside(record), lease, Mark(set_aside=after.set_aside))
        self._cares[record.partition] = after
        if after.is_our_bug:
            raise OurBug(f"{self.name}: {after.set_aside} inputs in a row killed the process")

    def _commit(
        self,
        commit: Commit,
        lease: Lease,
        mark: Mark,
        under_way: Mapping[Partition, Mark] | None = None,
        records: Sequence[Record] = (),
    ) -> None:
        if not self.source.holds(lease):
            raise LeaseLost("a rebalance came before the commit")
        began = self.monotonic()
        refused = self._refused_in_a_row(commit, records)
        offsets = {
            partition: Committed(at, text_of(replace(mark, refused=refused.get(partition, 0))))
            for partition, at in commit.offsets.items()
        } or {
            partition: Committed(self._positions[partition], text_of(part))
            for partition, part in (under_way or self._unmoved(records[:1], mark)).items()
        }
        pass_by("before-transaction")
        self.writer.commit(commit.outputs, offsets, lease)
        pass_by("after-commit")
        self._positions.update(commit.offsets)
        self._refused.update(refused)
        commit.after()
        emit(TransactionCommitted(self.name, len(commit.outputs), self.monotonic() - began))
        reasons = Counter(output.reason for output in commit.outputs if output.reason)
        if reasons:
            emit(DeadLettersWritten(self.name, reasons))
        for partition in commit.refused:
            self._check_refused(partition)

    def _unmoved(self, first: Sequence[Record], mark: Mark) -> dict[Partition, Mark]:
        """Return the mark for a part of an input, whose offset does not move yet.

        It is committed where it stands: Kafka compares the group's metadata with the group for
        offsets only. Without any, a stalled process whose partitions another one had taken over
        wrote the parts of a large file a second time (found by the model in tests/support/checker).
        """
        return {
            record.partition: replace(mark, refused=self._refused.get(record.partition, 0))
            for record in first
        }

    def _refused_in_a_row(self, commit: Commit, records: Sequence[Record]) -> dict[Partition, int]:
        """Count on, in the partitions where a commit refuses all its inputs; else from 0 again."""
        inputs = Counter(
            record.partition
            for record in records
            if record.offset < commit.offsets.get(record.partition, 0)
        )
        return {
            partition: self._refused.get(partition, 0) + number
            if (number := commit.refused.get(partition, 0)) >= inputs[partition]
            else 0
            for partition in commit.offsets
        }

    def _check_refused(self, partition: Partition) -> None:
        number = self._refused.get(partition, 0)
        if 0 < self.limits.most_refused <= number:
            raise TooManyRefused(
                f"{self.name}: {number} inputs in a row from {partition.topic} {partition.number} "
                "became dead letters, so it is rarely the inputs. Mend the cause, start it with "
                "--clear-crash-marks, then `opstrail dead-letters retry`"
            )

    def _commit_ends(self) -> None:
        """Commit the end of partitions that are read to it: control records count as lag else."""
        ends = {
            partition: Committed(
                end,
                text_of(
                    Mark(
                        set_aside=self._cares[partition].set_aside,
                        refused=self._refused.get(partition, 0),
                    )
                ),
            )
            for partition, end in self.source.ends().items()
            if end > self._positions.get(partition, end)
        }
        if ends:
            self.writer.commit((), ends, self.source.lease())
            self._positions.update({partition: at.offset for partition, at in ends.items()})

    def _rewind(self) -> None:
        """Go back to what is committed."""
        self._follow_changes()
        held = list(self._positions)
        if not held:
            return
        committed = self.source.committed(held)
        self._positions.update({partition: at.offset for partition, at in committed.items()})
        self.source.begin({partition: self._positions[partition] for partition in held})

    def _start_over(self) -> None:
        """Restore all state anew and go back to what is committed: an unknown commit may hold."""
        # An empty transaction first: a new producer settles what the old one left open. Else state
        # would wait for the end of that transaction until it times out.
        self.writer.commit((), {}, self.source.lease())
        held = list(self._positions)
        self.stage.forget(held)
        self.stage.restore(held, self)
        self._rewind()
        self._in_doubt = False

    def _patiently(self, act: Callable[[], None]) -> None:
        """Do it, waiting while Kafka or the registry is away and while partitions move."""
        attempt = 0
        while True:
            try:
                act()
            except Unavailable as away:
                attempt += 1
                why = str(away)
            except LeaseLost as lost:
                attempt += 1
                why = str(lost)
            else:
                return
            self._wait_through(self.backoff.wait_s(attempt), why=why)

    def _wait_through(self, seconds: float, *, why: str) -> None:
        """Wait while nothing is in work: a rebalance ends it early and is taken note of.

        What follows may act for partitions that we hold only: another member works on the others.
        """
        with suppress(LeaseLost, Unavailable):
            self.wait(seconds, why=why)
        self._note_changes()

    def _check_drain(self) -> None:
        """Raise Stopping when a stop was asked for and the time to finish is over."""
        if not self.stopping():
            return
        if self._stop_asked_at is None:
            self._stop_asked_at = self.monotonic()
        if self.monotonic() - self._stop_asked_at > self.limits.drain_s:
            raise Stopping

    def _stop_cleanly(self) -> None:
        if self._in_doubt:
            return  # our positions may be behind what is committed: never go back
        self._note_changes()  # what went is another member's now
        clean = {
            partition: Committed(
                at, text_of(replace(CLEAN, refused=self._refused.get(partition, 0)))
            )
            for partition, at in self._positions.items()
        }
        try:
            if clean:
                self.writer.commit((), clean, self.source.lease())
        except (LeaseLost, Unavailable) as error:
            emit(TransactionAborted(self.name, f"marks not cleared at the stop: {error}"))


def _by_partition(records: Iterable[Record]) -> list[list[Record]]:
    groups: dict[Partition, list[Record]] = {}
    for record in records:
        groups.setdefault(record.partition, []).append(record)
    return list(groups.values())
