"""`opstrail ingest`: find files, split them, take in an archive, read files again."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

import click
import msgspec

from opstrail_ingest.days import Days
from opstrail_ingest.discover import Finding, Listed
from opstrail_ingest.folder_source import LeftOut
from opstrail_ingest.notices import STAGE
from opstrail_ingest.patience import Stopped, StopPulse
from opstrail_ingest.places import BadSource, Files, Place, Prefix, Queue, place
from opstrail_ingest.serve import DONE, INTERRUPTED, serve_discover, serve_split
from opstrail_ingest.settings import Settings
from opstrail_ingest.wiring import build_discover, build_retries, findings, gate, notifications
from opstrail_runtime.loop_options import loop_options
from opstrail_runtime.serve import StopSignal, until_available

LEFTOVERS = 3
T = TypeVar("T")

_since = click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day (UTC).")
_until = click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day (UTC).")
_execute = click.option("--execute", is_flag=True, help="Do it; else the plan is shown.")


@click.group()
def ingest() -> None:
    """Find trail files, and split them into events."""


@ingest.command()
@loop_options
def split() -> None:
    """Split the files that were noticed."""
    sys.exit(serve_split(_settings()))


@ingest.command()
@click.argument("source", required=False)
@_since
@_until
@click.option("--once", is_flag=True, help="End when all that SOURCE holds is noticed.")
def discover(
    source: str | None, since: datetime | None, until: datetime | None, *, once: bool
) -> None:
    """Notice the files of SOURCE, and those that are due to be tried again.

    SOURCE is a folder, a file, - (standard input), s3://bucket/prefix, or an SQS queue's URL; it
    may also be OPSTRAIL_DISCOVER__QUEUE_URL. The days of a range are those in the keys of
    files, else those on which they were modified.

    Ends, with --once, with 0, or with 3 when something is a dead letter or waits to be tried again.
    """
    settings = _settings()
    where = _place(source or settings.discover.queue_url)
    days = _days(since, until)
    if days.bounded and not isinstance(where, Prefix | Files):
        raise click.UsageError("--since and --until: for a bucket or a folder only")

    def act(stop: StopSignal) -> int:
        return _discover(settings, where, days, stop, once=once)

    sys.exit(serve_discover(settings, act, stopped=INTERRUPTED if once else DONE))


@ingest.command()
@click.argument("source")
@_since
@_until
@_execute
def backfill(source: str, since: datetime | None, until: datetime | None, *, execute: bool) -> None:
    """Notice the files of an archive, no faster than they are done, so that new files never wait.

    SOURCE is s3://bucket/prefix, a folder or a file.
    """
    _listing(source, since, until, forced=False, execute=execute)


@ingest.command()
@click.argument("source")
@_since
@_until
@_execute
def replay(source: str, since: datetime | None, until: datetime | None, *, execute: bool) -> None:
    """Split files again that are done: their events go to events.reread, and are repaired.

    SOURCE is s3://bucket/prefix, a folder or a file. What is not done yet is split as usual.
    """
    _listing(source, since, until, forced=True, execute=execute)


def _discover(
    settings: Settings, where: Place | None, days: Days, stop: StopSignal, *, once: bool
) -> int:
    queue = notifications(settings, where) if isinstance(where, Queue) else None
    found = _waiting_for(stop, lambda: build_discover(settings, stop))
    retries = _waiting_for(stop, lambda: build_retries(settings))
    listed = Listed()
    try:
        if where is not None and not isinstance(where, Queue):
            what = findings(settings, where, days, found.pulse)
            listed = found.once(what, most=settings.discover.most_notices)
        elif once and queue is not None:
            listed = found.drain(queue)
        if not once:
            found.forever(
                queue,
                retries,
                retry_poll_s=settings.discover.retry_poll_s,
                monotonic=time.monotonic,
            )
        tried = found.retry(retries)
    finally:
        found.writer.close()
    _say(listed, triedAgain=tried, waiting=len(retries))
    return LEFTOVERS if listed.dead or len(retries) else DONE


def _listing(
    source: str, since: datetime | None, until: datetime | None, *, forced: bool, execute: bool
) -> None:
    settings = _settings()
    where = _place(source)
    days = _days(since, until)
    if not isinstance(where, Prefix | Files):
        raise click.UsageError(f"{source}: give s3://BUCKET/PREFIX, a folder or a file")

    def act(stop: StopSignal) -> int:
        if not execute:
            _say_plan(findings(settings, where, days, StopPulse(STAGE, stop)))
            return DONE
        found = _waiting_for(stop, lambda: build_discover(settings, stop))
        what = findings(settings, where, days, found.pulse)
        try:
            listed = found.once(
                map(_replayed, what) if forced else what,
                gate=gate(settings).wait,
                most=settings.discover.most_notices,
            )
        finally:
            found.writer.close()
        _say(listed)
        return LEFTOVERS if listed.dead else DONE

    sys.exit(serve_discover(settings, act, stopped=INTERRUPTED))


def _settings() -> Settings:
    return Settings()


def _place(source: str | None) -> Place | None:
    try:
        return None if source is None else place(source)
    except BadSource as error:
        raise click.UsageError(str(error)) from error


def _days(since: datetime | None, until: datetime | None) -> Days:
    if since and until and since > until:
        raise click.UsageError("--since is after --until")
    return Days(since.date() if since else None, until.date() if until else None)


def _waiting_for(stop: StopSignal, build: Callable[[], T]) -> T:
    built = until_available(build, stop)
    if built is None:
        raise Stopped
    return built


def _replayed(finding: Finding) -> Finding:
    if isinstance(finding, LeftOut):
        return finding
    return msgspec.structs.replace(finding, source="replay", forced=True)


def _say(listed: Listed, **more: int) -> None:
    click.echo(
        json.dumps(
            {
                "files": listed.files,
                "leftOut": listed.left_out,
                "deadLetters": listed.dead,
                **more,
            }
        )
    )


def _say_plan(what: Iterable[Finding]) -> None:
    files = stored_bytes = left_out = 0
    for finding in what:
        if isinstance(finding, LeftOut):
            left_out += 1
        else:
            files += 1
            stored_bytes += finding.size or 0
    click.echo(json.dumps({"files": files, "bytes": stored_bytes, "leftOut": left_out}))
    click.echo("this is the plan; --execute does it", err=True)
