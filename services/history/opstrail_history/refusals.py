"""What a request may be refused for, in words that a person can act on (PURE)."""


class BadQuery(Exception):
    """The question is wrong: status 400. `field` is the parameter that is to blame."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class BadCursor(BadQuery):
    """The cursor is not ours, or belongs to another question or another caller."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="cursor")


class NotAllowed(Exception):
    """Who asks is not known (status 401) or lacks a right (403), or asks too much (429)."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
