"""Record the schemas as released: `python -m tools.schemas.released`.

`schemas/released/<Type>/<n>.avsc` holds every version that messages were ever written with, each
whole in itself, as a registry holds it. A version that is recorded is never changed again. The
command writes the next version of each schema that has changed, or says why it may not be.
"""

import json
import sys
from pathlib import Path

from opstrail_schemas.codec import schema_text
from opstrail_schemas.topics import all_topics
from tools.schemas.compatibility import incompatibilities

RELEASED = Path(__file__).parents[2] / "schemas" / "released"


def type_names() -> list[str]:
    """Return the types of messages on topics, in alphabetical order."""
    return sorted({described.schema.rpartition(".")[2] for described in all_topics()})


def current_version(type_name: str) -> str:
    """Return the schema of that type as the package has it."""
    return schema_text(f"io.opstrail.v1.{type_name}")


def released_versions(type_name: str, folder: Path = RELEASED) -> list[str]:
    """Return the released versions of a schema, version 1 first."""
    paths = sorted((folder / type_name).glob("*.avsc"), key=lambda path: int(path.stem))
    return [path.read_text("utf-8") for path in paths]


def is_released(current: str, released: list[str]) -> bool:
    """Tell whether the newest released version is the current one."""
    return bool(released) and json.loads(released[-1]) == json.loads(current)


def record(folder: Path = RELEASED) -> list[str]:
    """Write the next version of every schema that has changed; return what is wrong with others.

    Nothing is written when anything is wrong.
    """
    new: dict[Path, str] = {}
    problems = []
    for name in type_names():
        current, released = current_version(name), released_versions(name, folder)
        if not is_released(current, released):
            problems += [f"{name}: {why}" for why in incompatibilities(current, released)]
            text = json.dumps(json.loads(current), indent=1) + "\n"
            new[folder / name / f"{len(released) + 1}.avsc"] = text
    if not problems:
        for path, text in new.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"recorded {path.relative_to(folder)}")
    return problems


if __name__ == "__main__":
    sys.exit("\n".join(record()) or None)
