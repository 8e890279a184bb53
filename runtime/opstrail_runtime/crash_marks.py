"""How a crash loop ends: marks beside the committed offsets (PURE).

An input that kills the process would kill the next one too. So every committed offset carries a
mark. `running`: somebody works from here on, and did not stop cleanly as long as it stands there.
Who finds it after a death takes care: one input, then eight, then sixty-four to a transaction, and
before each of them commits `trying` with their number. Who finds `trying` with more than one takes
an eighth of it until that portion is behind; who finds it with one input counts a death, and the
third one sets that input aside. Progress grows the portion again; a clean stop clears the mark.
Five inputs set aside without progress between them: it is our bug, and the service stops. The mark
also counts inputs in a row of which nothing but dead letters came: see `Limits.most_refused`.
"""

from dataclasses import dataclass, replace

DEATHS_TO_SET_ASIDE = 3
MOST_SET_ASIDE_IN_A_ROW = 5
GROWTH = 8
LARGEST_PORTION = 512


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands beside a committed offset. `size` is the portion in work (0: not careful),
    `end` the offset behind it, `refused` the inputs before it that were refused in a row.
    """

    stopped: bool = False
    size: int = 0
    end: int = 0
    deaths: int = 0
    set_aside: int = 0
    refused: int = 0


CLEAN = Mark(stopped=True)
RUNNING = Mark()


def text_of(mark: Mark) -> str:
    """Return the mark as it is committed; a clean stop with nothing to tell is no text at all."""
    counts = f"aside={mark.set_aside} refused={mark.refused}"
    if mark.stopped:
        return f"stopped {counts}" if mark.refused else ""
    if mark.size:
        return f"trying={mark.size} end={mark.end} deaths={mark.deaths} {counts}"
    return f"running {counts}"


def mark_of(text: str) -> Mark:
    """Read a committed text. One that is not ours (another tool's) counts as a clean stop."""
    words = dict(word.split("=", 1) for word in text.split() if "=" in word)
    try:
        set_aside, refused = int(words.get("aside", 0)), int(words.get("refused", 0))
        if "trying" in words:
            return Mark(
                size=int(words["trying"]),
                end=int(words.get("end", 0)),
                deaths=int(words.get("deaths", 0)),
                set_aside=set_aside,
                refused=refused,
            )
        if text.startswith("running"):
            return Mark(set_aside=set_aside, refused=refused)
        if text.startswith("stopped"):
            return Mark(stopped=True, refused=refused)
    except ValueError:
        return CLEAN
    return CLEAN


@dataclass(frozen=True, slots=True)
class Care:
    """How carefully to go on in a partition: `size` inputs to a transaction; 0: as many as come.

    Somewhere before the offset `until` is an input that killed: portions do not grow before it.
    """

    size: int = 0
    until: int = 0
    deaths: int = 0
    set_aside: int = 0

    def mark(self, end: int) -> Mark:
        """Return what to commit before the next portion; `end` is the offset behind it."""
        return Mark(size=self.size, end=end, deaths=self.deaths, set_aside=self.set_aside)

    @property
    def sets_aside(self) -> bool:
        """Whether the next input has killed often enough."""
        return self.size == 1 and self.deaths >= DEATHS_TO_SET_ASIDE

    @property
    def is_our_bug(self) -> bool:
        """Whether so many inputs in a row were set aside that they are not to blame."""
        return self.set_aside >= MOST_SET_ASIDE_IN_A_ROW


def care_after(mark: Mark) -> Care:
    """Return how to go on where that mark was found at assignment."""
    if mark.stopped:
        return Care()
    if mark.size == 0:
        return Care(size=1, set_aside=mark.set_aside)
    if mark.size == 1:
        return Care(size=1, until=mark.end, deaths=mark.deaths + 1, set_aside=mark.set_aside)
    return Care(size=max(1, mark.size // GROWTH), until=mark.end, set_aside=mark.set_aside)


def care_after_progress(care: Care, position: int) -> Care:
    """Return how to go on after a portion got through, up to that offset."""
    if position < care.until:
        return Care(size=care.size, until=care.until)
    size = care.size * GROWTH
    return Care() if size > LARGEST_PORTION else Care(size=size)


def care_after_setting_aside(care: Care) -> Care:
    """Return how to go on after an input was set aside: still one at a time."""
    return replace(care, deaths=0, until=0, set_aside=care.set_aside + 1)
