"""The corpora: real trail files that are no part of the project (SHARED, default ../shared)."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest

CORPORA = Path(os.environ.get("SHARED") or Path(__file__).parents[3] / "shared") / "corpora"

corpora = [
    pytest.mark.corpora,
    pytest.mark.skipif(not CORPORA.is_dir(), reason="not run: SHARED names no folder of corpora"),
]


def identities_in(folder: Path) -> set[str]:
    """Return `account/eventID` of every record below a folder, read with gzip and json alone."""
    found = set()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        data = path.read_bytes()
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        layout = re.search(r"AWSLogs/(?:o-[a-z0-9]+/)?(\d{12})/CloudTrail", path.as_posix())
        for record in json.loads(text)["Records"]:
            account = layout[1] if layout else record.get("recipientAccountId")
            account = account or record["userIdentity"]["accountId"]
            found.add(f"{account}/{record['eventID']}")
    return found
