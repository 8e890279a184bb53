"""Files that wait among the dead letters, and which of them are due (PURE)."""

from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from opstrail_ingest.decisions import DUE
from opstrail_ingest.notification import LOCAL_BUCKET
from opstrail_schemas.messages import DeadLetter, FileNotice


@dataclass(slots=True)
class WaitingFiles:
    """The newest dead letter of each key, where it says when to try again.

    A newer letter replaces an older one, a tombstone or a letter without time removes it. A file
    that was noticed again is out, until a newer letter puts it back; after a restart it is noticed
    once more, which split's ledger makes harmless.
    """

    _waiting: dict[str, tuple[int, FileNotice]] = field(default_factory=dict)

    def learn(self, key: str, letter: DeadLetter | None) -> None:
        """Take in one message of the topic, in its order."""
        notice = None if letter is None else _notice(key, letter)
        if letter is None or letter.retry_at is None or notice is None:
            self._waiting.pop(key, None)
        else:
            self._waiting[key] = (letter.retry_at, notice)

    def due(self, now_ms: int) -> list[FileNotice]:
        """Return notices of the files whose time has come, the longest waiting first."""
        found = sorted(
            (entry for entry in self._waiting.values() if entry[0] <= now_ms),
            key=lambda entry: entry[0],
        )
        return [msgspec.structs.replace(notice, noticed_at=now_ms) for _, notice in found]

    def noticed(self, notices: Collection[FileNotice]) -> None:
        """Take out files whose notices are written."""
        for notice in notices:
            self._waiting.pop(notice.retry_of or "", None)

    def __len__(self) -> int:
        return len(self._waiting)


def _notice(key: str, letter: DeadLetter) -> FileNotice | None:
    if letter.bucket is None or letter.key is None:
        return None
    # A local file may have changed because its writer was not done: what is there when it is tried
    # again counts. An object's ETag is known to split without asking when the notice carries it.
    local = letter.bucket == LOCAL_BUCKET
    return FileNotice(
        bucket=letter.bucket,
        key=letter.key,
        version_id=letter.version_id,
        e_tag=None if local else letter.e_tag,
        local_path=letter.local_path,
        source=DUE,
        noticed_at=0,
        retry_of=key,
    )
