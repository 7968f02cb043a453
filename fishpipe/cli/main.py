"""The entry: verbs are loaded when they are called, and every error becomes an exit code in one place."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from fishpipe import __version__
from fishpipe.stamp import Request, answered, request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    import click
    from click.shell_completion import CompletionItem

VERBS = {
    "init": "Make a new project, ready to build in the sandbox.",
    "import": "Make a project of a text: Markdown, EPUB, a play, subtitles.",
    "validate": "Check the manifest; list all problems at once.",
    "lint": "Look for what is probably not meant, and mend it.",
    "plan": "Show what a build would call, why, and for how much.",
    "build": "Speak what is new, and stitch what changed.",
    "watch": "Build again whenever a file is saved.",
    "status": "Show what is built, stale, in doubt; what was spent.",
    "explain": "Show why a segment would be spoken again.",
    "graph": "Draw the steps: dot or mermaid.",
    "voices": "List, show, search and forget voices.",
    "diff": "Show what changed since a revision, and what it costs.",
    "takes": "List the renderings of a segment, and choose one.",
    "retake": "Pay for another rendering of the same words.",
    "play": "Play an output or a clip.",
    "lock": "Show, check and mend the lock file.",
    "store": "Clips that travel: status, pull, push, verify.",
    "clean": "Remove outputs; the clips stay.",
    "gc": "Delete clips that nothing refers to.",
    "spend": "Show what was paid, when, for what.",
    "sandbox": "Serve the API on this machine, with a voice, for free.",
    "schema": "Print the manifest's JSON Schema.",
}
# Verbs that no module can be called.
MODULES = {"import": "import_"}
_HELP = """fishpipe: make for voices.

\b
  fishpipe init my-show && cd my-show    a new project
  fishpipe build                         speak and stitch it, free in the sandbox
  fishpipe plan                          what would the next build cost, and why?

\b
Exit codes: 0 done; 1 a call or an output failed; 2 usage; 3 the manifest has problems;
4 token, balance or service configuration; 5 refused (budget, frozen, locked, offline, a
locked clip that is lost, declined); 6 another run holds the project; 9 plan --exit-code
found work; 70 internal error; 130 interrupted; 143 terminated.
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    if list(arguments) in (["--version"], ["-V"]):
        sys.stdout.write(f"fishpipe {__version__}\n")
        return 0
    request = request_of(list(arguments))
    known = _known(request) if request is not None else None
    return _run(arguments, request) if known is None else _answer(*known)


def _known(request: Request) -> tuple[str, str] | None:
    """What the stamp says to it, in characters that the streams can write; a stamp that cannot be read is none."""
    try:
        known = answered(request)
        for stream, text in zip((sys.stdout, sys.stderr), known or (), strict=False):
            text.encode(stream.encoding or "utf-8", stream.errors or "strict")
    except Exception:  # noqa: BLE001  (the whole way says what is wrong)
        return None
    return known


def _run(arguments: Sequence[str], request: Request | None) -> int:
    import gc

    import click

    # A manifest becomes many small values that are kept: to look through them again and again finds nothing.
    gc.set_threshold(200_000, 20, 20)
    try:
        result = _group().main(args=list(arguments), prog_name="fishpipe", standalone_mode=False, obj=request)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("Stopped. Nothing that was paid for is lost. Continue: fishpipe build")
        return 130
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return 2
    except BrokenPipeError:
        return _unread()
    except Exception as error:  # noqa: BLE001  (the boundary)
        return _wrong(error)
    return result if isinstance(result, int) else 0


def _wrong(error: Exception) -> int:
    """Say what went wrong; returns the exit code."""
    import errno

    from fishpipe.errors import FishpipeError

    if isinstance(error, FishpipeError):
        from fishpipe.cli.common import tell_error

        return tell_error(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        _say(f"{error.filename or 'the output'} cannot be written: {error.strerror}. Nothing that was paid for is lost")
        _unread()
        return 1
    return _unexpected(error)


def _answer(words: str, warnings: str) -> int:
    """Say what a build that has nothing to do says."""
    with suppress(OSError):
        sys.stderr.write(warnings)
    try:
        sys.stdout.write(words)
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        return _wrong(error)
    return 0


def _unread() -> int:
    """Nobody reads what is said any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _group() -> click.Group:
    import click

    class Verbs(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            del ctx
            return list(VERBS)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            del ctx
            if name not in VERBS:
                return None
            from importlib import import_module

            command: click.Command = import_module(f"fishpipe.cli.{MODULES.get(name, name)}").command
            # Raw docstrings hold click's mark for "as it stands" as two characters.
            for shown in (command, *getattr(command, "commands", {}).values()):
                shown.help = (shown.help or "").replace("\\b", "\b")
            return command

        def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
            """The verbs by their names, of which none is loaded; then the options."""
            from click.shell_completion import CompletionItem

            verbs = [CompletionItem(name, help=words) for name, words in VERBS.items() if name.startswith(incomplete)]
            return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            from fishpipe.errors import did_you_mean

            if args and args[0] not in VERBS and not args[0].startswith("-"):
                hint = did_you_mean(args[0], VERBS) or f"verbs: {' '.join(VERBS)}"
                ctx.fail(f'no verb "{args[0]}"; {hint}')
            return super().resolve_command(ctx, args)

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            del ctx
            with formatter.section("Verbs"):
                formatter.write_dl(list(VERBS.items()))

    group = Verbs(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
    return click.version_option(__version__, "-V", "--version", message="fishpipe %(version)s")(group)


def _unexpected(error: Exception) -> int:
    """An internal error: a log instead of a traceback, and the token in neither."""
    import tempfile
    import traceback
    from pathlib import Path

    from fishpipe.cli.common import SECRETS, TOKEN

    text = "".join(traceback.format_exception(error))
    for token in filter(None, {*SECRETS, os.environ.get(TOKEN, "").strip()}):
        text = text.replace(token, "***")
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="fishpipe-", suffix=".log", delete=False
        ) as log:
            log.write(f"fishpipe {__version__}, Python {sys.version}\n{text}")
        where = str(Path(log.name))
    except OSError as full:
        where = f"this line: {text.splitlines()[-1]} (no log: {full.strerror})"
    _say(f"internal error: {type(error).__name__}. This is a bug; please report it with {where}")
    return 70


def _say(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
