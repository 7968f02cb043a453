"""fishpipe sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import click

from fishpipe.cli.common import TOKEN, err, out
from fishpipe.errors import FishpipeError, UsageError

T = TypeVar("T")


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8790, show_default=True, help="0 takes a free one.")
@click.option(
    "--state", type=click.Path(path_type=Path), default=Path(".fishpipe/sandbox"), show_default=True, help="Its folder."
)
@click.option("--latency", type=click.FloatRange(0), default=0.0, help="Seconds that each call takes at least.")
@click.option("--rate-limit", type=click.IntRange(1), help="Calls at once before 429.")
@click.option("--fault-rate", type=click.FloatRange(0, 1), default=0.0, help="Share of requests that go wrong.")
@click.option("--faults", default="", help="Which faults, by commas: 500 503 429 502 html drop truncate half.")
@click.option("--mishap-rate", type=click.FloatRange(0, 1), default=0.0, help="Share of callbacks that go wrong.")
@click.option("--mishaps", default="", help="How, by commas: late twice never reorder malformed.")
@click.option("--seed", type=int, default=0, help="Decides which requests go wrong.")
@click.option("--training-time", type=click.FloatRange(0), default=0.0, help="Seconds that a new voice trains.")
@click.option("--link-ttl", type=click.FloatRange(0), default=3600.0, help="Seconds that a link lives.")
@click.option("--renew-links", is_flag=True, help="Tasks give a new link when theirs has died.")
@click.option("--failing-samples", help="Voices whose sample URL holds this text fail.")
@click.option("--strict-ids", is_flag=True, help="Know only the voices that were created here.")
@click.option("--any-callback", is_flag=True, help="Send callbacks off this machine, too.")
@click.option("--token", help="Accept this token only (default: any).")
def command(
    port: int, state: Path, latency: float, rate_limit: int | None, fault_rate: float, faults: str, mishap_rate: float,
    mishaps: str, seed: int,
    training_time: float, link_ttl: float, renew_links: bool,
    failing_samples: str | None, strict_ids: bool, any_callback: bool, token: str | None,
) -> int:  # fmt: skip
    r"""Serve the API on this machine, with real voices, for free; GET /sandbox/usage lists what was billed.

    \b
      fishpipe sandbox --port 8790
      export ACEDATACLOUD_API_BASE_URL=http://127.0.0.1:8790 ACEDATACLOUD_API_TOKEN=any
      fishpipe build
    """
    try:
        from fishpipe.machine import SystemClock
        from fishpipe.sandbox.server import serve
        from fishpipe.sandbox.switches import FAULTS, MISHAPS, Switches
    except ImportError as error:
        raise FishpipeError(f"the sandbox needs more packages: pip install 'fishpipe[local]' ({error})") from error
    switches = Switches(
        latency=latency, rate_limit=rate_limit, fault_rate=fault_rate, faults=_chosen(faults, FAULTS),
        mishap_rate=mishap_rate, mishaps=_chosen(mishaps, MISHAPS), seed=seed,
        training_time=training_time, link_ttl=link_ttl, renew_links=renew_links, strict_ids=strict_ids, token=token,
        failing_samples=failing_samples, any_callback=any_callback,
    )  # fmt: skip

    def ready(url: str) -> None:
        out(url)
        err(f"export ACEDATACLOUD_API_BASE_URL={url} {TOKEN}={(token and '…') or 'any'}; Ctrl-C stops")

    serve(state, switches, port, SystemClock().now, ready)
    return 0


def _chosen(words: str, known: tuple[T, ...]) -> tuple[T, ...]:
    """Those of the known kinds that are named; all of them for none. Raises UsageError."""
    named = [word for word in words.replace(" ", ",").split(",") if word]
    unknown = [word for word in named if word not in known]
    if unknown:
        raise UsageError(f"nothing goes wrong by the name {unknown[0]}; known: {' '.join(map(str, known))}")
    return tuple(kind for kind in known if str(kind) in named) or known
