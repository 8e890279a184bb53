"""Write what the chart takes from the code: `python -m tools.docs.chart_files`.

Topics come from the topic files, rights from `opstrail_runtime.acls`. A test fails while the files
are older.
"""

import json
from dataclasses import asdict
from pathlib import Path

from opstrail_runtime.acls import Role, acls
from opstrail_schemas.topics import all_topics

FILES = Path(__file__).parents[2] / "deploy" / "helm" / "opstrail" / "files"


def topics() -> str:
    """Return the topics: name, partitions (a group or a number), settings."""
    found = [
        {"name": each.name, "partitions": each.partitions, "config": each.config()}
        for each in all_topics()
    ]
    return json.dumps(found, indent=2) + "\n"


def rights() -> str:
    """Return the rights of each role in Kafka."""
    found = {role: [asdict(each) for each in acls(role)] for role in Role}
    return json.dumps(found, indent=2) + "\n"


CONTENTS = {"topics.json": topics, "acls.json": rights}

if __name__ == "__main__":
    for name, content in CONTENTS.items():
        (FILES / name).write_text(content(), "utf-8")
