"""A simulation in which things go wrong at random, from a seed: the same seed, the same run."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opstrail_schemas.topics import TopicName
from tests.support.checker.corpus import corpus, damaged, order
from tests.support.checker.expected import expected_of
from tests.support.checker.findings import findings
from tests.support.checker.simulation import ROLES, Simulation
from tests.support.fake_opensearch import status_error

POINTS: Mapping[str, tuple[str, ...]] = {
    "discover": ("after-receive", "before-delete", "after-delete"),
    "split": (
        *("after-restore", "after-poll", "after-fetch", "before-transaction", "mid-produce"),
        *("after-produce", "after-offsets", "after-commit"),
    ),
    "enrich": (
        *("after-restore", "after-poll", "after-learning", "before-transaction", "mid-produce"),
        *("after-produce", "after-offsets", "after-commit"),
    ),
    "store": (
        *("after-restore", "after-poll", "before-bulk", "after-reply", "before-transaction"),
        *("after-offsets", "after-commit"),
    ),
}
MEMBERS = ("0", "1")
_LONGEST_RESUME_S = 150  # of the model's time, in which the broker may be away several times


@dataclass(slots=True)
class Outcome:
    """What came of one seed."""

    seed: int
    events: int
    faults: Counter[str]
    found: list[str]


@dataclass(slots=True)
class Chaos:
    """Two members of each role; each round something may go wrong. `faults` counts what did."""

    seed: int
    files: int = 8
    events: int = 400
    rounds: int = 40
    faults: Counter[str] = field(default_factory=Counter)

    def run(self) -> Outcome:
        """Run to the end and let the checker look at it."""
        rng = random.Random(self.seed)
        files = corpus(self.seed, files=self.files, events=self.events)
        sound = [key for key, file in expected_of(files).files.items() if file.state == "done"]
        whole = {key: files[key] for key in rng.sample(sound, min(3, len(sound)))}
        files |= {key: damaged(data, rng) for key, data in whole.items()}
        simulation = Simulation(files, seed=self.seed, armed=self._points(rng))
        simulation.most_records = rng.choice((5, 20, 60))
        self._trouble_opensearch(simulation, rng)
        keys = list(order(list(files), self.seed))
        for _ in range(self.rounds):
            simulation.notify([keys.pop() for _ in range(min(len(keys), rng.randrange(3)))])
            self._something(simulation, rng)
            if whole and rng.random() < 0.1:
                self._mend(simulation, *whole.popitem())
            simulation.take()
            for role in ROLES:
                for member in MEMBERS[: rng.choice((1, 2, 2))]:
                    simulation.step(role, member)
        simulation.notify(keys)
        for key, data in whole.items():
            self._mend(simulation, key, data)
        self._settle(simulation)
        seen = simulation.run()
        self.faults["killed"] += simulation.kills
        self.faults["broker away"] += len(simulation.kafka.met_away)
        self.faults += simulation.lost
        expected = simulation.expected()
        found = findings(expected, seen, longest_resume_s=_LONGEST_RESUME_S)
        return Outcome(self.seed, len(expected.events), self.faults, found)

    def _mend(self, simulation: Simulation, key: str, data: bytes) -> None:
        simulation.replace(key, data)
        self.faults["damaged copy came first"] += 1

    @staticmethod
    def _points(rng: random.Random) -> str:
        """Three a role: a fourth death at one input would set it aside, as it should."""
        return ",".join(
            f"{role}.{point}:{rng.randrange(1, 9)}"
            for role, points in POINTS.items()
            for point in rng.sample(points, 3)
        )

    def _something(self, simulation: Simulation, rng: random.Random) -> None:
        role = rng.choice(ROLES)
        match rng.randrange(6):
            case 0:
                self._move(simulation, role, rng)
            case 1:
                self._lose(simulation, role, rng)
            case 2:
                simulation.kafka.away_until_s = simulation.kafka.now_s + rng.uniform(0.5, 20)
            case _:
                pass

    def _move(self, simulation: Simulation, role: str, rng: random.Random) -> None:
        group = f"opstrail.{role}"
        owned = simulation.kafka.assigned.get(group)
        if owned:
            some, member = [at for at in owned if rng.random() < 0.6], rng.choice(MEMBERS)
            self.faults["rebalance"] += any(owned[at] != member for at in some)
            simulation.kafka.move(group, some, member)

    def _lose(self, simulation: Simulation, role: str, rng: random.Random) -> None:
        process = simulation.processes.get((role, rng.choice(MEMBERS)))
        if process is None:
            return
        if rng.random() < 0.5:
            process.writer.lose_reply = True
        else:
            process.writer.lose_commit = True

    def _trouble_opensearch(self, simulation: Simulation, rng: random.Random) -> None:
        def before(_documents: list[dict[str, Any]]) -> None:
            if rng.random() < 0.1:
                self.faults["opensearch refuses"] += 1
                raise status_error(rng.choice((429, 500, 503)))

        def after(_documents: list[dict[str, Any]]) -> None:
            if rng.random() < 0.1:
                self.faults["opensearch reply lost"] += 1
                raise status_error(503)

        def refuses(_document: dict[str, Any]) -> tuple[int, str] | None:
            if rng.random() < 0.01:
                self.faults["item refused"] += 1
                return rng.choice(((429, "rejected"), (503, "unavailable_shards_exception")))
            return None

        search = simulation.search
        search.before, search.after, search.refuses = before, after, refuses

    @staticmethod
    def _settle(simulation: Simulation) -> None:
        """Give everything to the first member of each role: the others are gone for good."""
        for role in ROLES:
            group = f"opstrail.{role}"
            owned = list(simulation.kafka.assigned.get(group, ()))
            simulation.kafka.move(group, owned, MEMBERS[0])
        assert simulation.kafka.partitions[TopicName.FILES_NOTICED]
