"""What one types to start this program: its name, or its path where the shell knows no name."""

import shutil
import sys
from pathlib import Path


def own_name() -> str:
    """Return the shortest name under which a shell in this folder starts this program."""
    program = Path(sys.executable).with_name("opstrail")
    found = shutil.which("opstrail")
    if (found and Path(found) == program) or not program.exists():
        return "opstrail"
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
