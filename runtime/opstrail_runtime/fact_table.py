"""A set of facts that can be larger than memory, and which of them hang together.

Facts are kept in a private SQLite database that only goes to disk (`SQLITE_TMPDIR`) beyond the
cache; it is gone with the process, since the facts topics hold everything. What is asked for often
is kept decoded. Where the disk takes no more, every method raises Refused: a table without a
journal is no longer whole then, and the next process reads the topics anew.
"""

import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import msgspec

from opstrail_runtime.errors import Refused
from opstrail_schemas.facts import concerned_by, led_to_by
from opstrail_schemas.messages import Account, StackFact

Fact = TypeVar("Fact", StackFact, Account)
CACHE_KIB = 48 * 1024
_MOST_REMEMBERED = 20_000
_SEPARATOR = "\n"  # keys hold ids and ARNs; whatever else a foreign fact puts there is cut

_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE fact (id INTEGER PRIMARY KEY, digest BLOB UNIQUE, leads TEXT, value BLOB);
CREATE TABLE concern (key TEXT, fact INTEGER, PRIMARY KEY (key, fact)) WITHOUT ROWID;
"""


@contextmanager
def _on_disk() -> Iterator[None]:
    """Name what SQLite says of its temporary files: full, gone (sqlite.org/rescode.html)."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _DISK:  # the low byte: extended codes refine it
            raise
        raise Refused(
            f"facts: {error}: give the folder of temporary files (SQLITE_TMPDIR, TMPDIR) more room"
        ) from error


class FactTable(Generic[Fact]):
    """All facts of one kind, in any order, each once."""

    def __init__(self, fact_type: type[Fact], *, cache_kib: int = CACHE_KIB) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], Fact] = msgspec.msgpack.Decoder(fact_type).decode
        # "": a temporary database of its own. It is never committed, so nothing is ever synced.
        self._db = sqlite3.connect("", check_same_thread=False)
        weakref.finalize(self, self._db.close)  # Python 3.13 warns of one that nobody closed
        self._db.executescript(_TABLES)
        self._db.execute(f"PRAGMA cache_size = -{cache_kib}")
        self._count = 0
        self.changes = 0  # grows with every fact that is added or taken back
        self._about: dict[str, tuple[Fact, ...]] = {}
        self._reach: dict[tuple[str, ...], int] = {}

    def __len__(self) -> int:
        return self._count

    @_on_disk()
    def __contains__(self, digest: bytes) -> bool:
        found = self._db.execute("SELECT 1 FROM fact WHERE digest = ?", (digest,))
        return found.fetchone() is not None

    @_on_disk()
    def add(self, digest: bytes, fact: Fact) -> bool:
        """Add a fact under its digest; return whether it is new."""
        concerns = concerned_by(fact)
        added = self._db.execute(
            "INSERT OR IGNORE INTO fact (digest, leads, value) VALUES (?, ?, ?)",
            (digest, _SEPARATOR.join(led_to_by(fact)), self._encode(fact)),
        )
        if not added.rowcount:
            return False
        self._db.executemany(
            "INSERT INTO concern VALUES (?, ?)", [(key, added.lastrowid) for key in concerns]
        )
        self._count += 1
        self.changes += 1
        self._forget_answers(concerns)
        return True

    @_on_disk()
    def remove(self, digest: bytes) -> None:
        """Take a fact back that nobody else has seen: its transaction was aborted."""
        row = self._db.execute("SELECT id, value FROM fact WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            return
        concerns = concerned_by(self._decode(row[1]))
        self._db.execute("DELETE FROM fact WHERE id = ?", (row[0],))
        self._db.executemany(
            "DELETE FROM concern WHERE key = ? AND fact = ?", [(key, row[0]) for key in concerns]
        )
        self._count -= 1
        self.changes += 1
        self._forget_answers(concerns)

    @_on_disk()
    def about(self, key: str) -> tuple[Fact, ...]:
        """Return the facts that concern a key, in the order of their digests."""
        known = self._about.get(key)
        if known is None:
            rows = self._db.execute(
                "SELECT value FROM concern JOIN fact ON fact.id = concern.fact"
                " WHERE key = ? ORDER BY digest",
                (key,),
            )
            known = tuple(self._decode(value) for (value,) in rows)
            _remember(self._about, key, known)
        return known

    @_on_disk()
    def reach(self, keys: Iterable[str]) -> int:
        """Return how many facts can be reached from these keys.

        Whenever facts hold, ended links and contradictions included: so it grows with the set of
        facts and never shrinks, and the version that is made of it neither.
        """
        named = tuple(keys)
        known = self._reach.get(named)
        if known is None:
            known = len(self._reached(named))
            _remember(self._reach, named, known)
        return known

    @_on_disk()
    def reaching(self, keys: Iterable[str]) -> set[str]:
        """Return the keys from which facts about these keys are reached, themselves included.

        The first call builds an index over all facts: seconds where there are a million.
        """
        self._build_reverse()
        found = set(keys)
        ahead = list(found)
        while ahead:
            rows = self._db.execute(
                "SELECT DISTINCT concern.key FROM leads JOIN concern ON concern.fact = leads.fact"
                " WHERE leads.key = ?",
                (ahead.pop(),),
            )
            for (key,) in rows:
                if key not in found:
                    found.add(key)
                    ahead.append(key)
        return found

    def facts(self) -> Iterator[Fact]:
        """Yield every fact, in the order of their digests."""
        with _on_disk():
            for (value,) in self._db.execute("SELECT value FROM fact ORDER BY digest"):
                yield self._decode(value)

    def _reached(self, named: Sequence[str]) -> set[int]:
        seen = set(named)
        ahead = list(seen)
        facts: set[int] = set()
        while ahead:
            rows = self._db.execute(
                "SELECT fact.id, fact.leads FROM concern JOIN fact ON fact.id = concern.fact"
                " WHERE key = ?",
                (ahead.pop(),),
            )
            for number, leads in rows:
                if number in facts:
                    continue
                facts.add(number)
                for key in leads.split(_SEPARATOR) if leads else ():
                    if key not in seen:
                        seen.add(key)
                        ahead.append(key)
        return facts

    def _build_reverse(self) -> None:
        self._db.executescript(
            "DROP TABLE IF EXISTS leads; CREATE TABLE leads (key TEXT, fact INTEGER);"
            "CREATE INDEX IF NOT EXISTS concern_of_fact ON concern (fact);"
        )
        self._db.executemany(
            "INSERT INTO leads VALUES (?, ?)",
            (
                (key, number)
                for number, leads in self._db.execute("SELECT id, leads FROM fact WHERE leads > ''")
                for key in leads.split(_SEPARATOR)
            ),
        )
        self._db.execute("CREATE INDEX leads_by_key ON leads (key)")

    def _forget_answers(self, concerns: Sequence[str]) -> None:
        for key in concerns:
            self._about.pop(key, None)
        self._reach.clear()


K = TypeVar("K")
V = TypeVar("V")


def _remember(answers: dict[K, V], question: K, answer: V) -> None:
    if len(answers) >= _MOST_REMEMBERED:
        answers.clear()
    answers[question] = answer
