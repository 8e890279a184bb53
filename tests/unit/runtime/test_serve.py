"""A service as a process while the servers that it needs are away."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from random import Random

from opstrail_local import ports
from opstrail_runtime.health import serve_while_at_work


def test_a_service_lives_and_is_not_ready_while_its_servers_are_away() -> None:
    health, nobody = ports.pick(2, wanted=(), rng=Random())
    settings = {
        "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody}",
        "OPSTRAIL_REGISTRY__URL": f"http://127.0.0.1:{nobody}",
        "OPSTRAIL_TELEMETRY__PORT": str(health),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "opstrail_cli.main", "enrich"],
        env={**os.environ, **settings},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while (alive := _status(health, "/livez")) is None:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        assert (200, 503) == (alive, _status(health, "/readyz"))
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert 0 == process.returncode, said


def _status(port: int, path: str) -> int | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, ConnectionError):
        return None


def test_a_job_serves_its_metrics_where_a_port_is_told_and_nobody_beside_it_has_it() -> None:
    (port,) = ports.pick(1, wanted=(), rng=Random())
    serve_while_at_work("127.0.0.1", 0)
    serve_while_at_work("127.0.0.1", port)

    serve_while_at_work("127.0.0.1", port)  # as in the pod of a service

    assert 200 == _status(port, "/metrics")
