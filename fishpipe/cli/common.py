"""What the verbs share: the project behind the arguments, and the streams."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fishpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fishpipe.manifest.model import ProviderName
    from fishpipe.project import Choices, Project, Setting

TOKEN = "ACEDATACLOUD_API_TOKEN"  # noqa: S105  (its name)
BASE_URL = "ACEDATACLOUD_API_BASE_URL"


@dataclass(frozen=True, slots=True)
class Arguments:
    """A verb's common arguments."""

    manifest: Path
    targets: tuple[str, ...]
    variables: dict[str, str]
    provider: ProviderName | None
    allow_outside: bool
    json: bool
    quiet: bool
    verbose: bool


def common(verb: Callable[..., int]) -> click.Command:
    """A command with the common options; the verb gets Arguments first, and its own options by name."""

    def call(
        names: tuple[str, ...], var: tuple[str, ...], provider: ProviderName | None, directory: Path | None,
        allow_outside: bool, json_: bool, quiet: bool, verbose: bool, color: str, **own: Any,  # noqa: ANN401
    ) -> int:  # fmt: skip
        if directory is not None:
            _enter(directory)
        if color != "auto":
            os.environ["FORCE_COLOR" if color == "always" else "NO_COLOR"] = "1"
        manifest, targets = split_names(names)
        arguments = Arguments(manifest, targets, _variables(var), provider, allow_outside, json_, quiet, verbose)
        return verb(arguments, **own)

    call.__doc__ = verb.__doc__
    options = [
        click.argument("names", nargs=-1, metavar="[MANIFEST] [TARGET]..."),
        click.option("--var", multiple=True, metavar="NAME=VALUE", help="Set a variable of the manifest."),
        click.option(
            "--provider", type=click.Choice(["acedata", "sandbox"]), envvar="FISHPIPE_PROVIDER",
            help="Who speaks; another than the manifest's makes a draft in .fishpipe/draft.",
        ),
        click.option("-C", "directory", type=click.Path(path_type=Path), help="Work in this folder."),
        click.option("--allow-outside", is_flag=True, help="Allow paths outside of the project."),
        click.option("--json", "json_", is_flag=True, help="Answer in JSON."),
        click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
        click.option("-v", "--verbose", is_flag=True, help="Say all of it."),
        click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colour."),
    ]  # fmt: skip
    options.extend(getattr(verb, "options", ()))
    decorated: Any = call
    for option in reversed(options):
        decorated = option(decorated)
    return click.command(name=verb.__name__.rstrip("_"), epilog=getattr(verb, "epilog", None))(decorated)


def options(*own: Callable[..., Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Attach a verb's own options."""

    def attach(verb: Callable[..., int]) -> Callable[..., int]:
        verb.options = own  # type: ignore[attr-defined]
        return verb

    return attach


def split_names(names: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """(manifest, targets): a first name that is a YAML file or a folder is the manifest; otherwise it is found."""
    from fishpipe.manifest.load import DEFAULT_NAME, find_manifest

    if names and (names[0].endswith((".yaml", ".yml")) or Path(names[0]).is_dir()):
        first = Path(names[0])
        inside = first / DEFAULT_NAME
        return (inside if inside.is_file() else first), tuple(names[1:])
    found = find_manifest(Path.cwd())
    return Path(os.path.relpath(found)), tuple(names)


def again(verb: str, manifest: Path) -> str:
    """A command as it must be typed here: the manifest is named where it would not be found."""
    from fishpipe.manifest.load import find_manifest

    try:
        found = find_manifest(Path.cwd()).samefile(manifest)
    except (UsageError, OSError):
        found = False
    return f"fishpipe {verb}" if found else f"fishpipe {verb} {shlex.quote(str(manifest))}"


def open_project(arguments: Arguments, **more: Any) -> Project:  # noqa: ANN401
    """The project. Raises ManifestError."""
    from fishpipe.project import Project

    return Project.open(arguments.manifest, choices(arguments, **more))


def choices(arguments: Arguments, **more: Any) -> Choices:  # noqa: ANN401
    """Options, environment and `.env`, in that order of strength."""
    from fishpipe.project import Choices

    file = _dotenv(arguments.manifest.parent / ".env")
    return Choices(
        variables=arguments.variables,
        provider=arguments.provider,
        allow_outside=arguments.allow_outside,
        token=_setting(TOKEN, file),
        base_url=_setting(BASE_URL, file),
        **more,
    )


def out(text: str) -> None:
    """A result, to stdout."""
    click.echo(text)


def err(text: str) -> None:
    """Progress and messages, to stderr."""
    click.echo(text, err=True)


def is_terminal() -> bool:
    """Whether a person watches stderr and can answer on stdin."""
    return sys.stderr.isatty() and sys.stdin.isatty()


def _enter(directory: Path) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"-C {directory}: {error.strerror}") from error


def _variables(pairs: Sequence[str]) -> dict[str, str]:
    variables = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--var {pair}: expected NAME=VALUE")
        variables[name] = value
    return variables


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


def _setting(name: str, file: dict[str, str]) -> Setting | None:
    from fishpipe.project import Setting

    if os.environ.get(name, "").strip():
        return Setting(value=os.environ[name].strip(), origin="environment")
    return Setting(value=file[name].strip(), origin=".env") if name in file else None
