"""Real trail files through `opstrail run` on real servers: every record once, nothing else."""

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.corpora import CORPORA, corpora, identities_in
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Ended, Installed, installed
from tests.support.servers import Servers

MIB = 1024 * 1024
pytestmark = [*corpora, pytest.mark.servers, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Expected:
    """What `opstrail run` says of a corpus."""

    files: int
    records: int
    stored: int

    def result(self, *, stored: int) -> dict[str, int]:
        return {
            "files": self.files,
            "records": self.records,
            "stored": stored,
            "alreadyThere": self.records - stored,
            "deadLetters": 0,
        }


EXPECTED = {
    "sans504": Expected(files=2_395, records=19_624, stored=15_537),
    "invictus": Expected(files=55, records=2_900, stored=2_900),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A corpus after its first run."""

    name: str
    folder: Path
    expected: Expected
    installed: Installed
    ended: Ended


@pytest.fixture(scope="module", params=sorted(EXPECTED, reverse=True))
def corpus(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stored]:
    name = request.param
    folder = CORPORA.absolute() / name
    # Partitions as everybody has them: the figure of the time is of the default.
    with installed(servers, tmp_path_factory.mktemp(name)) as own:
        yield Stored(name, folder, EXPECTED[name], own, own.run(folder))


def test_the_run_tells_what_the_files_hold(corpus: Stored, figure: Figure) -> None:
    figure(f"{corpus.name}, servers up, all stored", f"{corpus.ended.result['seconds']} s", "30 s")

    wanted = corpus.expected.result(stored=corpus.expected.stored)
    assert wanted == {name: corpus.ended.result[name] for name in wanted}
    assert (0, 0) == (corpus.ended.code, corpus.ended.result["restarts"])
    assert "do not add up" not in corpus.ended.said


def test_no_service_is_large(corpus: Stored, figure: Figure) -> None:
    for service in ("split", "enrich", "store"):
        size = corpus.ended.peaks[service]
        figure(f"{corpus.name}, peak of {service}", f"{size / MIB:.0f} MiB", "under 300 MiB")
        assert size < 300 * MIB


def test_stored_is_each_identity_of_the_files_and_no_other(corpus: Stored, figure: Figure) -> None:
    wanted, found = identities_in(corpus.folder), corpus.installed.identities()

    figure(f"{corpus.name}, identities missing", len(wanted - found), "0")
    figure(f"{corpus.name}, identities too many", len(found - wanted), "0")
    assert wanted == found
    assert [] == corpus.installed.dead_letters()


def test_a_plain_consumer_reads_each_identity_once(corpus: Stored, figure: Figure) -> None:
    found = Counter(message.key for message in corpus.installed.messages("events.enriched"))

    wanted = identities_in(corpus.folder)
    figure(
        f"{corpus.name}, messages of events.enriched",
        f"{found.total():,} for {len(found):,} identities",
        f"{len(wanted):,} for as many",
    )
    assert dict.fromkeys((identity.encode() for identity in wanted), 1) == found


def test_no_field_is_mapped_that_was_not_before(corpus: Stored, figure: Figure) -> None:
    before, after = corpus.installed.template_fields(), corpus.installed.mapped_fields()

    figure(f"{corpus.name}, mapped fields", sorted(set(after.values())), f"{before} as before")
    assert {before} == set(after.values())


def test_every_file_has_its_row(corpus: Stored) -> None:
    rows = corpus.installed.files().values()

    assert corpus.expected.files == len(rows)
    assert {"done", "empty"} >= {row["state"] for row in rows}
    assert corpus.expected.records == sum(row["records"] for row in rows)


def test_in_another_order_the_documents_are_equal(
    corpus: Stored, servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    shuffled = _in_another_order(corpus.folder, tmp_path / "shuffled")
    with installed(servers, tmp_path, **FEW_PARTITIONS) as other:
        other.run(shuffled)

        wanted, found = _documents(corpus.installed), _documents(other)

    different = sum(found.get(identity) != digest for identity, digest in wanted.items())
    figure(f"{corpus.name}, documents that differ when shuffled", different, f"0 of {len(wanted)}")
    assert wanted == found


def test_run_again_nothing_is_newly_stored(corpus: Stored, figure: Figure) -> None:
    again = corpus.installed.run(corpus.folder)

    figure(f"{corpus.name}, newly stored by a second run", again.result["stored"], "0")
    wanted = corpus.expected.result(stored=0)
    assert wanted == {name: again.result[name] for name in wanted}
    assert 0 == again.code


def _in_another_order(folder: Path, copy: Path) -> Path:
    """Copy the files so that they are noticed in another order, under the keys they have.

    Folders are listed by name, and a key begins at the last `AWSLogs/` of the path.
    """
    paths = sorted(filter(Path.is_file, folder.rglob("*")))
    random.Random(504).shuffle(paths)
    for number, path in enumerate(paths):
        to = copy / f"{number:04}" / path.relative_to(folder)
        to.parent.mkdir(parents=True)
        shutil.copyfile(path, to)
    return copy


def _documents(own: Installed) -> dict[str, str]:
    """Return a digest of each document with its index and version, without `opstrail.delivery`."""
    return {hit["_id"]: _digest(hit, own.name) for hit in own.hits()}


def _digest(hit: dict[str, Any], prefix: str) -> str:
    del hit["_source"]["opstrail"]["delivery"]
    index = hit["_index"].removeprefix(prefix)
    text = json.dumps([index, hit["_version"], hit["_source"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
