"""Three errors, three fates (PURE).

- `InvalidRecord`: the input is wrong. It becomes a dead letter; its neighbours go on.
- `Unavailable`: something we depend on is away. Wait, keep polling, commit nothing, try again.
- anything else: our bug. The process ends with a code that is not zero.

`LeaseLost` is none of them: the partitions moved or a transaction did not end for certain. The
loop rewinds to what is committed and reads again.
"""


class InvalidRecord(Exception):
    """The input is wrong: it becomes a dead letter.

    `reason` is a bounded code for metrics and filters, `message` is for people: what is wrong and
    what to do. `field` names the field, `start` and `end` the byte range in the unpacked file.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        field: str | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field
        self.start = start
        self.end = end


class Unavailable(Exception):
    """A dependency is away, or refuses for now.

    `what` names it: kafka, registry, opensearch, s3, sqs.
    """

    def __init__(self, what: str, message: str) -> None:
        super().__init__(f"{what}: {message}")
        self.what = what
        self.message = message


class LeaseLost(Exception):
    """What was read may belong to another process now: rewind to the committed offsets."""


class OutcomeUnknown(LeaseLost):
    """A transaction was sent off and nobody knows how it ended: only the committed offsets tell.

    What a stage keeps in memory may lack what was committed: it is restored anew.
    """


class Fenced(Exception):
    """Another process took this slot: this one must end. The message names the slot."""


class Refused(Exception):
    """A dependency refuses us for good (password, rights, not set up): a human must act."""
