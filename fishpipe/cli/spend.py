"""fishpipe spend."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from fishpipe.cli.common import Arguments, common, open_project, options, out

if TYPE_CHECKING:
    import datetime


@options(
    click.option(
        "--by", type=click.Choice(["day", "month", "script", "voice", "model", "take"]), default="day",
        show_default=True, help="What to sum up by.",
    ),
    click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Leave out what was paid before this day (UTC)."),
    click.option("--csv", "as_csv", is_flag=True, help="Every receipt, as comma-separated values."),
)  # fmt: skip
def spend(arguments: Arguments, by: str, since: datetime.datetime | None, as_csv: bool) -> int:
    r"""Show what was paid, when, for what: sums of the receipts. Writes nothing.

    \b
      fishpipe spend
      fishpipe spend --by voice --since 2026-11-01
      fishpipe spend --csv > receipts.csv
    """
    from fishpipe.report.spending import doubts, receipts_csv, spending_data, spending_text

    project = open_project(arguments)
    with project.session() as session:
        receipts = [*session.store.receipts(), *doubts(session.snapshot.calls, project.prices, project.realm)]
        locked = {*session.snapshot.lock.clips, *session.snapshot.lock.voices}
    chosen = [receipt for receipt in receipts if receipt["realm"] in ("", project.realm)]
    if since is not None:
        import datetime as clock

        start = since.replace(tzinfo=clock.UTC).timestamp()
        chosen = [receipt for receipt in chosen if receipt["at"] >= start]
    if as_csv:
        out(receipts_csv(chosen, locked).rstrip("\n"))
    elif arguments.json:
        out(json.dumps(spending_data(chosen, by, project.realm, locked), ensure_ascii=False, indent=2))
    else:
        out(spending_text(spending_data(chosen, by, project.realm, locked)))
    return 0


command = common(spend)
