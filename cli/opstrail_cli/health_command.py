"""`opstrail health`: asks the process beside it whether it lives, for health checks of images."""

import http.client
import sys

import click

from opstrail_runtime.settings import TelemetrySettings, Told

TIMEOUT_S = 4.0


class OnlyTelemetry(Told):
    """What `opstrail health` is told: where this container's process serves its health."""

    telemetry: TelemetrySettings = TelemetrySettings()


@click.command()
@click.option("--ready", is_flag=True, help="Ask whether it is ready, not whether it lives.")
def health(*, ready: bool) -> None:
    """Ask the process in this container whether it lives; ends with 0 where it does, else 1."""
    telemetry = OnlyTelemetry().telemetry
    if not telemetry.port:
        raise click.UsageError("OPSTRAIL_TELEMETRY__PORT is not set: nothing is served")
    every = {"0.0.0.0", "::"}  # noqa: S104 - an address that is bound to, seen from inside
    host = "127.0.0.1" if telemetry.host in every else telemetry.host
    path = "/readyz" if ready else "/livez"
    try:
        connection = http.client.HTTPConnection(host, telemetry.port, timeout=TIMEOUT_S)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
    except OSError as error:
        click.echo(f"{host}:{telemetry.port}{path}: {error}", err=True)
        sys.exit(1)
    click.echo(f"{path}: {status}")
    sys.exit(0 if status == http.client.OK else 1)
