"""Free text: words, phrases, nothing that could hurt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_history.free_text import Clause, clauses_of
from opstrail_history.refusals import BadQuery

FIELDS = frozenset({"stack", "user"})


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("", ()),
        ("CreateStack", (Clause("CreateStack"),)),
        ('-deny "not authorized" web*', (
            Clause("deny", excluded=True), Clause("not authorized"), Clause("web", prefix=True),
        )),
        ('stack:shop-prod -user:"ada b"', (
            Clause("shop-prod", "stack"), Clause("ada b", "user", excluded=True),
        )),
        ('"web app"*', (Clause("web app", prefix=True),)),
        ("arn:aws:iam::1:user/a", (Clause("arn:aws:iam::1:user/a"),)),
        ("/.*/ AND (a)", (Clause("/.*/"), Clause("AND"), Clause("(a)"))),
        ("same same", (Clause("same"),)),
        ('"" " "', ()),
    ],
)  # fmt: skip
def test_words_and_phrases_and_filters(text, clauses):
    assert clauses == clauses_of(text, FIELDS)


@pytest.mark.parametrize("text", ["*stack", "?x", "*", "stack:*x", "-*", "a " * 600, "é" * 513])
def test_leading_wildcards_and_bombs_are_refused(text):
    with pytest.raises(BadQuery):
        clauses_of(text, FIELDS)


def test_more_than_twenty_words_are_refused():
    with pytest.raises(BadQuery, match="20 words"):
        clauses_of(" ".join(f"w{at}" for at in range(21)), FIELDS)


def test_more_than_five_beginnings_are_refused():
    with pytest.raises(BadQuery, match="5 words with"):
        clauses_of(" ".join(f"w{at}*" for at in range(6)), FIELDS)
    assert 6 == len(clauses_of(" ".join(f"stack:w{at}*" for at in range(6)), FIELDS))


@given(st.text(max_size=200))
def test_any_text_is_understood_or_refused(text):
    try:
        clauses = clauses_of(text, FIELDS)
    except BadQuery:
        return
    assert all(clause.text.strip() for clause in clauses)
