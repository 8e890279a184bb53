"""What the API answers, as types that its OpenAPI description shows."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from opstrail_history.facets import Facets
from opstrail_history.lineage import Lineage
from opstrail_history.row import Row
from opstrail_history.times import iso


class Answer(BaseModel):
    """What all answers share: lowerCamelCase names."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, frozen=True
    )


class WhoAnswer(Answer):
    """The caller."""

    name: str
    kind: str
    arn: str | None
    role: str | None
    session: str | None


class StackAnswer(Answer):
    """The OpsWorks stack."""

    id: str | None
    name: str | None
    layers: tuple[str, ...]
    instances: tuple[str, ...]
    apps: tuple[str, ...]


class RowAnswer(Answer):
    """One event on one line."""

    id: str = Field(description="Document id: `account/eventID`.")
    event_id: str = Field(alias="eventID")
    time: str | None = Field(description="When the call completed, ISO 8601, UTC.")
    who: WhoAnswer
    address: str | None = Field(description="Where the call came from.")
    action: str
    source: str
    targets: tuple[str, ...] = Field(description="What the call was about.")
    account: str
    account_name: str | None
    region: str | None
    stack: StackAnswer | None
    outcome: Literal["allowed", "denied", "failed"]
    error_code: str | None
    read_only: bool | None
    access_key: str | None
    flags: tuple[str, ...]
    corrects: str | None
    stored_at: int | None

    @classmethod
    def of(cls, row: Row) -> "RowAnswer":
        """Return the answer of a row."""
        return cls.model_validate(row)


class SearchAnswer(Answer):
    """One page of events."""

    events: list[RowAnswer]
    total: int | None = Field(description="How many match; on the first page only.")
    cursor: str | None = Field(description="Leads to the next page; null: this was the last.")


class CountAnswer(Answer):
    """How many events have a value."""

    value: str
    count: int
    label: str | None = None


class BarAnswer(Answer):
    """One bar of the histogram."""

    begin: str
    count: int


class HistogramAnswer(Answer):
    """Events over time."""

    step_ms: int
    bars: list[BarAnswer]


class FacetsAnswer(Answer):
    """Counts by field and over time."""

    total: int
    counts: dict[str, list[CountAnswer]]
    outcomes: list[CountAnswer]
    histogram: HistogramAnswer | None
    hidden: dict[str, int] = Field(description="How many events `readOnly=no` … hides.")

    @classmethod
    def of(cls, facets: Facets) -> "FacetsAnswer":
        """Return the answer of counts."""
        histogram = facets.histogram
        return cls(
            total=facets.total,
            counts={
                name: [CountAnswer.model_validate(bucket) for bucket in buckets]
                for name, buckets in facets.counts.items()
            },
            outcomes=[CountAnswer.model_validate(bucket) for bucket in facets.outcomes],
            histogram=histogram
            and HistogramAnswer(
                step_ms=histogram.step_ms,
                bars=[BarAnswer(begin=iso(begin), count=count) for begin, count in histogram.bars],
            ),
            hidden=dict(facets.hidden),
        )


class EventAnswer(Answer):
    """One event with all that is known of it."""

    event: RowAnswer
    record: dict[str, Any] | None = Field(
        description="The record, parsed; null: it is no JSON, or too deep."
    )
    raw: str = Field(description="The record's exact text.")
    opstrail: dict[str, Any] = Field(description="What opstrail added.")
    file: dict[str, Any] | None = Field(description="The ledger's row of its file.")


class RelatedAnswer(Answer):
    """What belongs to an event, by why it does."""

    groups: dict[str, list[RowAnswer]]


class StepAnswer(Answer):
    """One link of a chain."""

    event: RowAnswer
    key: str | None = Field(description="Access key that joins it to the link before.")
    copies: list[RowAnswer] = Field(description="The same call in other accounts.")


class LineageAnswer(Answer):
    """Who stands behind a session: the event itself first, the first principal last."""

    steps: list[StepAnswer]
    end: str
    said: str = Field(description="How the chain ends, in words.")
    notes: list[str]

    @classmethod
    def of(cls, lineage: Lineage) -> "LineageAnswer":
        """Return the answer of a chain."""
        return cls(
            steps=[
                StepAnswer(
                    event=RowAnswer.of(step.row),
                    key=step.key,
                    copies=[RowAnswer.of(copy) for copy in step.copies],
                )
                for step in lineage.steps
            ],
            end=lineage.end,
            said=lineage.said,
            notes=list(lineage.notes),
        )


class CollectionAnswer(Answer):
    """One page of files or dead letters, as they are stored."""

    items: list[dict[str, Any]]
    total: int | None
    cursor: str | None


class AccessAnswer(Answer):
    """Who asks, and what they may do."""

    name: str
    way: str
    accounts: list[str] | None = Field(description="Accounts that may be seen; null: all.")
    rights: list[str]


class AuditAnswer(Answer):
    """What was asked of history, the latest first."""

    lines: list[dict[str, Any]] = Field(
        description="time, who (null: refused), way, accounts, address, what, query, status, events"
    )


class ErrorAnswer(Answer):
    """Why a request was refused."""

    message: str
    field: str | None = None
