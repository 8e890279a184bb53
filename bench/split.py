"""Split: microseconds a record of real files, and a 50 MB file that unpacks to 1 GB.

Run with SHARED naming the shared folder: python -m bench.split
"""

import gzip
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from opstrail_ingest.fetched import Fetched
from opstrail_runtime.stage import Pulse
from opstrail_schemas.messages import FileNotice
from tests.support.records import a_record, record_text
from tests.support.splitting import Objects, Split, a_notice

MIB = 1024 * 1024
GOAL_RSS_MIB = 300
LARGE_BYTES = 1000 * MIB


class FileObjects(Objects):
    """Reads files of a folder: keys are paths."""

    def fetch(self, notice: FileNotice, pulse: Pulse) -> Fetched:
        """Open the file."""
        del pulse
        path = Path(notice.key)
        return Fetched(path.open("rb"), path.stat().st_size, "one")


def large_file(path: Path) -> int:
    """Write a trail file of a gigabyte that packs about 20:1; return how many records it has."""
    records = 0
    size = 0
    with gzip.open(path, "wb", compresslevel=6) as out:
        out.write(b'{"Records":[')
        while size < LARGE_BYTES:
            digest = hashlib.sha256(b"%d" % records).hexdigest()
            record = a_record(
                digest[:36],
                requestID=digest[20:52],
                requestParameters={"bucketName": "logs", "tags": ["a", "b"] * 100, "n": records},
            )
            text = record_text(record)
            out.write(b"," + text if records else text)
            size += len(text)
            records += 1
        out.write(b"]}")
    return records


def run(split: Split, keys: Iterable[str]) -> tuple[int, float, float]:
    """Split the files, throwing the outputs away; return events, CPU seconds and seconds."""
    records = [split.noticed(a_notice(key)) for key in keys]
    stage = split.stage()
    began, clock = time.process_time(), time.monotonic()
    events = 0
    for commit in stage.work(records, split.pulse):
        events += sum(output.topic == "events.raw" for output in commit.outputs)
        commit.after()
    return events, time.process_time() - began, time.monotonic() - clock


def corpus() -> None:
    """Print what a record of a real bucket costs."""
    folder = Path(os.environ["SHARED"], "corpora", "sans504")
    keys = [str(path) for path in sorted(folder.rglob("*.json.gz"))]
    texts = [gzip.decompress(Path(key).read_bytes()) for key in keys]
    split = Split(FileObjects())
    for _ in range(3):
        began = time.process_time()
        for text in texts:
            json.loads(text)
        parse_s = time.process_time() - began
        events, seconds, _ = run(split, keys)
        print(
            f"sans504: {events} events of {len(keys)} files, {seconds / events * 1e6:.1f} µs each, "
            f"{seconds / parse_s:.1f} times json.loads"
        )


def large() -> None:
    """Print what a large file costs; runs in a process of its own, so that its peak is its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.json.gz")
        command = "from bench.split import *; print(large_file(Path(sys.argv[1])))"
        made = subprocess.run(
            [sys.executable, "-c", command, str(path)], check=True, capture_output=True
        )
        events, seconds, clock = run(Split(FileObjects()), [str(path)])
        assert events == int(made.stdout)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"large file: {path.stat().st_size / MIB:.0f} MiB, {LARGE_BYTES / MIB:.0f} MiB "
            f"unpacked, {events} events, {clock:.1f} s ({seconds / events * 1e6:.1f} µs each), "
            f"peak RSS {peak:.0f} MiB (goal: < {GOAL_RSS_MIB})"
        )


def main() -> None:
    """Run both."""
    if sys.argv[1:] == ["large"]:
        large()
        return
    corpus()
    subprocess.run([sys.executable, "-m", "bench.split", "large"], check=True)


if __name__ == "__main__":
    main()
