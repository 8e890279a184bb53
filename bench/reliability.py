"""What hostile files, broken records and a long ledger cost: pytest -s bench/reliability.py.

CPU time is compared, since other work on the machine does not change it much.
"""

import gzip
import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from opstrail_ingest.file_split import ledger_key
from opstrail_ingest.ledger import Ledger
from opstrail_runtime.stage import Partition, Pulse, Record
from opstrail_schemas.messages import TrailFile
from opstrail_schemas.topics import TopicName
from tests.support.figures import Figure
from tests.support.memory_kafka import StillPulse
from tests.support.records import KEY, a_record, record_text, trail_file
from tests.support.splitting import LEDGER, NOW_MS, Split, a_notice

MIB = 1024 * 1024
pytestmark = pytest.mark.timeout(900)


def hostile(name: str, path: Path) -> None:
    """Write a file that is meant to hurt."""
    match name:
        case "1 GB of zeros":
            with gzip.open(path, "wb", compresslevel=6) as out:
                for _ in range(1024):
                    out.write(bytes(MIB))
        case "depth 100,000":
            deep = b"[" * 100_000 + b"]" * 100_000
            record = record_text(a_record("deep"))[:-1] + b',"requestParameters":' + deep + b"}"
            path.write_bytes(trail_file([a_record("a"), record, a_record("b")]))
        case _:
            path.write_bytes(trail_file(a_record(number) for number in range(100_000)))


def split_alone(path: Path) -> None:
    """Split one file; print how that ended, seconds, and the peak of memory in MiB."""
    split = Split()
    split.objects.stored[KEY] = path.read_bytes()
    stage, notice = split.stage(), split.noticed(a_notice())
    began = time.monotonic()
    state, events, letters = "", 0, 0
    for commit in stage.work([notice], split.pulse):
        for output in commit.outputs:
            events += output.topic is TopicName.EVENTS_RAW
            letters += output.topic is TopicName.DEAD_LETTERS
            if output.topic is TopicName.FILES_LEDGER:
                state = LEDGER.decode(output.value or b"").state
        commit.after()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([state, events, letters, time.monotonic() - began, peak]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1 GB of zeros", ["quarantined", 0, 1]),
        ("depth 100,000", ["partial", 2, 1]),
        ("100,000 records", ["done", 100_000, 0]),
    ],
)
def test_hostile_file(name: str, expected: list[object], tmp_path: Path, figure: Figure) -> None:
    path = tmp_path / "hostile.json.gz"
    hostile(name, path)
    code = "import sys; from pathlib import Path; from bench.reliability import split_alone; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}split_alone(Path(sys.argv[1]))", str(path)],
        check=True,
        capture_output=True,
    )
    *ended, seconds, peak = json.loads(done.stdout.splitlines()[-1])

    figure(f"{name}: peak of memory", f"{peak:.0f} MiB", "at most 300 MiB")
    figure(f"{name}: time", f"{seconds:.1f} s", "at most 30 s")
    assert expected == ended


def test_one_percent_of_broken_records(figure: Figure) -> None:
    def seconds_of(broken_each: int) -> float:
        best = 10.0**9
        for _ in range(5):
            split = Split()
            split.objects.stored = {
                f"f{number}": trail_file(
                    b'{"eventVersion": "1.01"ed}'
                    if broken_each and (number * 500 + n) % broken_each == 0
                    else a_record(number * 500 + n, requestParameters={"a": "b" * 400})
                    for n in range(500)
                )
                for number in range(20)
            }
            stage = split.stage()
            records = [split.noticed(a_notice(key)) for key in split.objects.stored]
            began = time.process_time()
            for commit in stage.work(records, split.pulse):
                commit.after()
            best = min(best, time.process_time() - began)
        return best

    sound_s = seconds_of(0)
    more = seconds_of(100) / sound_s - 1

    figure("what 1 % of broken records cost split", f"{more:.1%}", "at most 5 %")


class _Rows:
    """A log of many rows of the ledger."""

    def __init__(self, values: list[tuple[bytes, bytes]]) -> None:
        self._values = values

    def read(self, partition: Partition, pulse: Pulse) -> Iterator[Record]:
        del pulse
        for offset, (key, value) in enumerate(self._values):
            yield Record(partition, offset, key, value, 0)


def test_ledger_of_a_million_files(figure: Figure) -> None:
    files = 1_000_000
    row = TrailFile(
        bucket="trails",
        key=KEY,
        e_tag="0" * 32,
        state="done",
        account_id="111122223333",
        aws_region="eu-central-1",
        size=10_000,
        unpacked_size=100_000,
        records=50,
        sha256="0" * 64,
        oldest_event_time=NOW_MS,
        newest_event_time=NOW_MS,
        delivered_at=NOW_MS,
        noticed_at=NOW_MS,
        updated_at=NOW_MS,
    )
    value = LEDGER.encode(row)
    # Keys of equal length, put in place of the one that was encoded.
    names = [b"%016d" % number for number in range(files)]
    key, old = ledger_key(row), KEY[-24:-8].encode()
    values = [(key.replace(old, name), value.replace(old, name)) for name in names]
    ledger = Ledger(_Rows(values), LEDGER, monotonic=time.monotonic)  # type: ignore[arg-type]

    began = time.process_time()
    ledger.restore(0, StillPulse())
    seconds = time.process_time() - began
    # As it would be if rows were read whole: the same in one run, since the machine's load differs.
    began = time.process_time()
    for _, each in values[::10]:
        ledger.keep(0, LEDGER.decode(each))
    whole_s = (time.process_time() - began) * 10

    figure("ledger of 1,000,000 files read back, CPU", f"{seconds:.1f} s", "at most 10 s")
    figure("with whole rows it takes", f"{whole_s / seconds:.1f} times as long", "above 1")
    tracemalloc.start()
    small = Ledger(_Rows(values[:100_000]), LEDGER, monotonic=time.monotonic)  # type: ignore[arg-type]
    small.restore(0, StillPulse())
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    figure("memory for a file in the ledger", f"{held / 100_000:.0f} bytes", "stated")
    assert ledger.find(0, values[7][0]) is not None
