"""On PYTHONPATH, this gives a process a clock that is wrong, and is set while it runs.

`OPSTRAIL_TEST_CLOCK` is `SECONDS SECONDS AFTER`: how far it is ahead at the start, and how far from
so many seconds later on. Python imports it by its name at every start: the product needs no hook.
"""

import os
import time

_AHEAD, _LATER, _AFTER = (float(word) for word in os.environ["OPSTRAIL_TEST_CLOCK"].split())
_true, _began = time.time_ns, time.monotonic()


def _wrong_ns() -> int:
    ahead = _AHEAD if time.monotonic() - _began < _AFTER else _LATER
    return _true() + int(ahead * 1e9)


time.time_ns = _wrong_ns
time.time = lambda: _wrong_ns() / 1e9
