"""`opstrail dead-letters`: what did not get through, why, and once more."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings

from opstrail_cli.dead_letter_box import BoxCodecs, DeadLetterBox
from opstrail_cli.dead_letter_retry import Filed, Filter, NoRetry, Retry, told
from opstrail_runtime import failpoints
from opstrail_runtime.codecs import Codecs
from opstrail_runtime.command_line import Patient, show
from opstrail_runtime.errors import Fenced, LeaseLost, Refused, Unavailable
from opstrail_runtime.kafka_errors import KafkaRefuses
from opstrail_runtime.settings import ServiceSettings
from opstrail_runtime.wiring import new_log, new_registry, new_writer
from opstrail_schemas.messages import DeadLetter, EnrichedEvent, FileNotice, RawEvent
from opstrail_schemas.registry import NotRegistered
from opstrail_schemas.topics import TopicName

LEFTOVERS = 3
_MESSAGE_SHOWN = 100
_LOOK_EVERY_S = 0.5
F = TypeVar("F", bound=Callable[..., Any])


class _Discover(BaseSettings):
    """The one setting of discover that a retry has to keep to."""

    model_config = ServiceSettings.model_config | {"env_prefix": "OPSTRAIL_DISCOVER__"}

    allowed_buckets: list[str] = Field(default_factory=list)


def connect() -> DeadLetterBox:
    """Return the dead letters of the cluster that the environment names."""
    settings = ServiceSettings()
    of = Codecs(new_registry(settings.registry)).of
    return DeadLetterBox(
        log=new_log(settings.kafka, "dead-letters"),
        writer=new_writer(settings.kafka, slot=f"{settings.slot.namespace}.dead-letters"),
        codecs=BoxCodecs(
            letters=of(TopicName.DEAD_LETTERS, DeadLetter),
            notices=of(TopicName.FILES_NOTICED, FileNotice),
            raw=of(TopicName.EVENTS_RAW, RawEvent),
            reread=of(TopicName.EVENTS_REREAD, RawEvent),
            enriched=of(TopicName.EVENTS_ENRICHED, EnrichedEvent),
            repaired=of(TopicName.EVENTS_REPAIRED, EnrichedEvent),
        ),
        pulse=Patient(),
        now_ms=lambda: time.time_ns() // 1_000_000,
        allowed_buckets=frozenset(_Discover().allowed_buckets),
    )


@contextmanager
def opened() -> Iterator[DeadLetterBox]:
    """Say in one line what stands in the way."""
    failpoints.arm("dead-letters", os.environ)
    try:
        yield connect()
    except KeyboardInterrupt:
        sys.exit(130)
    except (Fenced, KafkaRefuses, LeaseLost, NotRegistered, Refused, Unavailable) as error:
        raise click.ClickException(str(error)) from error
    except ValidationError as error:
        raise click.ClickException(f"settings: {error}") from error


def filters(command: F) -> F:
    """Add the options that say which letters are meant; the command is given a Filter."""
    day = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    for name, kind, text in (
        ("waiting/--given-up", None, "Those that are tried again by themselves, or the others."),
        ("until", day, "Failed before that time (UTC)."),
        ("since", day, "Failed at that time (UTC) or later."),
        ("topic", str, "Of messages of that topic, by its full name without prefix."),
        ("account", str, "Of that account, where it is known."),
        ("key-prefix", str, "Of objects whose key begins so."),
        ("bucket", str, "Of files of that bucket; `local` for those of a folder."),
        ("reason", str, "With that reason: not-json, object-unavailable, id-conflict, …"),
        ("stage", str, "Of that stage: discover, split, enrich, store."),
    ):
        more = {"default": None} if kind is None else {"type": kind}
        command = click.option(f"--{name}", help=text, **more)(command)
    return command


def _filter(keys: tuple[str, ...] = (), **given: Any) -> Filter:
    def ms(at: datetime | None) -> int | None:
        return None if at is None else int(at.replace(tzinfo=UTC).timestamp() * 1000)

    return Filter(
        keys=frozenset(keys),
        stage=given["stage"],
        reason=given["reason"],
        bucket=given["bucket"],
        key_prefix=given["key_prefix"],
        account_id=given["account"],
        topic=given["topic"],
        since=ms(given["since"]),
        until=ms(given["until"]),
        waiting=given["waiting"],
    )


@click.group("dead-letters")
def dead_letters() -> None:
    """Inputs that did not get through: list them, look at one, try them again."""


@dead_letters.command("list")
@filters
@click.option("--summary", is_flag=True, help="Count them by stage and reason.")
def list_letters(*, summary: bool, **given: Any) -> None:
    """List the dead letters that are not mended, the oldest failure first."""
    with opened() as box:
        letters = box.letters(_filter(**given))
    if summary:
        counts = Counter((filed.letter.stage, filed.letter.reason) for filed in letters)
        show(
            [
                {"stage": stage, "reason": reason, "letters": number}
                for (stage, reason), number in sorted(counts.items())
            ]
        )
    else:
        show([_row(filed) for filed in letters])
    _say_unreadable(box)


@dead_letters.command("show")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
def show_letter(keys: tuple[str, ...]) -> None:
    """Show all of a letter: address, byte range, reason, masked text."""
    with opened() as box:
        letters = box.letters(Filter(keys=frozenset(keys)))
    missing = sorted(set(keys) - {filed.key for filed in letters})
    if missing:
        raise click.ClickException(f"no such dead letter, or it is mended: {', '.join(missing)}")
    show([_all_of(filed) for filed in letters])


@dead_letters.command()
@click.argument("keys", nargs=-1, metavar="[KEY...]")
@filters
@click.option("--all", "every", is_flag=True, help="All of them: needed where nothing else is said")
@click.option(
    "--newest-version",
    is_flag=True,
    help="Read what is at the key now, not the version that the letter names.",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=0,
    help="With --execute: wait so many seconds until each is mended or has failed again.",
)
@click.option("--execute", is_flag=True, help="Do it; else the plan is shown.")
def retry(
    keys: tuple[str, ...],
    *,
    every: bool,
    newest_version: bool,
    wait_s: float,
    execute: bool,
    **given: Any,
) -> None:
    """Try dead letters again: those with the keys KEY, or those that the options name.

    Files are read again as a whole by split, messages are sent again. A letter is gone once what it
    is about has got through; what fails again is a letter again. Ends with 3 where something is
    left that cannot be tried, or, with --wait, that has failed again.
    """
    wanted = _filter(keys, **given)
    if wanted == Filter() and not every:
        raise click.UsageError("which? Give KEYs, a filter, or --all")
    with opened() as box:
        if not execute:
            _end(box.plan(wanted))
            click.echo("this is the plan; --execute does it", err=True)
            return
        began = box.now_ms()
        done = box.retry(wanted, newest_version=newest_version)
        box.writer.close()
        keys_tried = frozenset(each.filed.key for each in done if not isinstance(each, NoRetry))
        _end(done)
        left = len(done) - len(keys_tried)
        if wait_s and keys_tried:
            left += _waited_for(box, keys_tried, began, wait_s)
    if left:
        sys.exit(LEFTOVERS)


def _waited_for(box: DeadLetterBox, keys: frozenset[str], began: int, wait_s: float) -> int:
    """Wait until each letter is mended or newer; say which, and return how many are not mended."""
    until = time.monotonic() + wait_s
    while True:
        there = box.letters(Filter(keys=keys))
        open_ = [filed for filed in there if filed.letter.failed_at < began]
        if not open_ or time.monotonic() >= until:
            mended, again = len(keys) - len(there), len(there) - len(open_)
            text = f"{mended} mended, {again} failed again, {len(open_)} not tried yet"
            click.echo(text, err=True)
            return len(there)
        time.sleep(_LOOK_EVERY_S)


def _end(retries: list[Retry]) -> None:
    show([told(each) for each in retries])
    none = sum(isinstance(each, NoRetry) for each in retries)
    click.echo(f"{len(retries) - none} to try again, {none} that cannot be", err=True)


def _say_unreadable(box: DeadLetterBox) -> None:
    if box.unreadable:
        text = f"{box.unreadable} messages on the topic are no dead letters of this version"
        click.echo(text, err=True)


def _row(filed: Filed) -> dict[str, object]:
    letter = filed.letter
    return {
        "letterKey": filed.key,
        "stage": letter.stage,
        "reason": letter.reason,
        "tries": letter.tries,
        "failedAt": _time(letter.failed_at),
        "retryAt": _time(letter.retry_at),
        "message": letter.message[:_MESSAGE_SHOWN],
    }


def _all_of(filed: Filed) -> dict[str, object]:
    members: dict[str, object] = msgspec.to_builtins(filed.letter)
    times = {name: _time(members.get(name)) for name in ("firstFailedAt", "failedAt", "retryAt")}
    present = {name: value for name, value in (members | times).items() if value is not None}
    return {"letterKey": filed.key, **present}


def _time(at_ms: object) -> str | None:
    if not isinstance(at_ms, int):
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
