"""What the verbs share: the project behind the arguments, and the streams."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct
from msgspec.structs import replace

from fishpipe.errors import UsageError
from fishpipe.files import read_plain
from fishpipe.shown import shown, without_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fishpipe.access import Setting
    from fishpipe.errors import FishpipeError, ManifestError, Problem
    from fishpipe.manifest.model import ProviderName
    from fishpipe.project import Choices, Project

TOKEN = "ACEDATACLOUD_API_TOKEN"  # noqa: S105  (its name)
BASE_URL = "ACEDATACLOUD_API_BASE_URL"
PRICES = "FISHPIPE_PRICES"
STORE = "FISHPIPE_STORE"
# Where the command was begun, whatever -C says.
_BEGUN = {"at": ""}
# Tokens that were read: what an internal error's log must not hold.
SECRETS: set[str] = set()
_MOST_WARNINGS = 5
# What a project's `.env` may set: the token, and the address of the API that it is for.
_READ_THERE = frozenset({TOKEN, BASE_URL})
_LONGEST_DOTENV = 1 << 20
_HIGHEST_PRICE = 1e6
_PRICED = ("speech", "voice", "s1", "s2-pro", "s2.1-pro", "fish-tts")


class Arguments(Struct, frozen=True):
    """A verb's common arguments."""

    manifest: Path
    targets: tuple[str, ...]
    variables: dict[str, str]
    provider: ProviderName | None
    profiles: tuple[str, ...]
    allow_outside: bool
    strict: bool
    json: bool
    quiet: bool
    verbose: bool


class Usd(click.FloatRange):
    """An amount of money: a number that is one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """`2.50` → 2.5."""
        amount = float(super().convert(value, param, ctx))
        if not math.isfinite(amount):
            self.fail(f"{value!r} is no amount", param, ctx)
        return amount


class Seconds(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A length of time with its unit, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """`90s` → 90.0."""
        match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)(ms|s|m|h)", str(value))
        if match is None:
            self.fail(f"{value!r} is no length of time; write 90s, 20m or 2h", param, ctx)
        return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]


def common(verb: Callable[..., int]) -> click.Command:
    """A command with the common options; the verb gets Arguments first, and its own options by name."""

    def call(
        names: tuple[str, ...], var: tuple[str, ...], provider: ProviderName | None, profile: tuple[str, ...],
        directory: Path | None, allow_outside: bool, strict: bool, json_: bool, quiet: bool, verbose: bool, color: str,
        **own: Any,  # noqa: ANN401
    ) -> int:  # fmt: skip
        profile = tuple(part for names_ in profile for part in names_.replace(" ", ",").split(",") if part)
        _BEGUN["at"] = str(Path.cwd())
        if directory is not None:
            enter(directory)
        if color != "auto":
            os.environ["FORCE_COLOR" if color == "always" else "NO_COLOR"] = "1"
        manifest, targets = (Path(), names) if getattr(verb, "is_plain", False) else split_names(names)
        given = variables(var)
        arguments = Arguments(manifest, targets, given, provider, profile, allow_outside, strict, json_, quiet, verbose)
        return verb(arguments, **own)

    call.__doc__ = verb.__doc__
    options = [
        click.argument("names", nargs=-1, metavar=getattr(verb, "metavar", "[MANIFEST] [TARGET]...")),
        click.option("--var", multiple=True, metavar="NAME=VALUE", help="Set a variable of the manifest."),
        click.option(
            "--provider", type=click.Choice(["acedata", "sandbox"]), envvar="FISHPIPE_PROVIDER",
            help="Who speaks; another than the manifest's makes a draft in .fishpipe/draft.",
        ),
        click.option(
            "--profile", multiple=True, envvar="FISHPIPE_PROFILE", metavar="NAME",
            help="Lay a profile of the manifest over it; several, the later on top.",
        ),
        click.option("-C", "directory", type=click.Path(path_type=Path), help="Work in this folder."),
        click.option("--allow-outside", is_flag=True, help="Allow paths outside of the project."),
        click.option("--strict", is_flag=True, envvar="FISHPIPE_STRICT", help="Take warnings for errors."),
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
    from fishpipe.manifest.paths import DEFAULT_NAME, find_manifest

    if names and (names[0].endswith((".yaml", ".yml")) or Path(names[0]).is_dir()):
        first = Path(names[0])
        inside = first / DEFAULT_NAME
        return (inside if inside.is_file() else first), tuple(names[1:])
    found = find_manifest(Path.cwd())
    return Path(os.path.relpath(found)), tuple(names)


def each_manifest(arguments: Arguments) -> list[Arguments]:
    """The arguments for each of the manifests that are named; for the one that is found where none is."""
    first = with_manifest(arguments)
    others = [name for name in first.targets if name.endswith((".yaml", ".yml")) or Path(name).is_dir()]
    odd = next((name for name in first.targets if name not in others), None)
    if odd is not None:
        raise UsageError(f"{odd} is no manifest; expected .yaml files, or folders with a fishpipe.yaml")
    return [first, *(replace(arguments, manifest=split_names([name])[0]) for name in others)]


def with_manifest(arguments: Arguments) -> Arguments:
    """The arguments of a verb that takes more than manifests and targets, with the manifest found among them."""
    manifest, targets = split_names(arguments.targets)
    return replace(arguments, manifest=manifest, targets=targets)


def again(verb: str, manifest: Path, *rest: str, provider: str | None = None) -> str:
    """A command as it must be typed here: the manifest is named where it would not be found."""
    from fishpipe.manifest.paths import find_manifest

    try:
        found = find_manifest(Path.cwd()).samefile(manifest)
    except (UsageError, OSError):
        found = False
    named = [] if found else [shlex.quote(str(manifest))]
    return " ".join(["fishpipe", verb, *named, *rest, *(["--provider", provider] if provider else [])])


def open_project(arguments: Arguments, *, warn: bool = True, **more: Any) -> Project:  # noqa: ANN401
    """The project; its warnings are told, unless nothing is to be said. Raises ManifestError."""
    from fishpipe.project import Project

    project = Project.open(arguments.manifest, choices(arguments, **more))
    if warn:
        for line in warnings_of(arguments, project):
            err(line)
    return project


def warnings_of(arguments: Arguments, project: Project) -> list[str]:
    """What is said of a project before anything is done with it."""
    from fishpipe.seal import cache_folder
    from fishpipe.store.origin import is_made_here

    said = []
    if not arguments.quiet:
        warnings = project.manifest.warnings
        for warning in warnings[: len(warnings) if arguments.verbose else _MOST_WARNINGS]:
            hint = warning.hint and f"; {warning.hint}"
            said.append(f"{warning.span}: warning[{warning.code}]: {warning.message}{hint}")
        if len(warnings) > _MOST_WARNINGS and not arguments.verbose:
            said.append(f"… and {len(warnings) - _MOST_WARNINGS:,} warnings more: {again('lint', arguments.manifest)}")
    if project.provider != "sandbox" and (free := project.manifest.provider.prices).are_free:
        said.append(f"{free.span}: warning: a price of 0 for {project.provider}: what is paid there counts as nothing")
    if not is_made_here(project.layout.ledger):
        said.append(
            f"warning: {project.layout.state} is not known as written here (it was copied, came from elsewhere, or is "
            "of an earlier release): its calls, receipts and clips are looked at one by one, and outputs are made "
            f"again, once and for free. What is written here is known by {cache_folder()}, which must be writable"
        )
    if project.shared is not None and project.shared.is_away:
        folder = project.shared.folder
        said.append(f"warning: the store {folder} is not there: what it has may be paid for again; mount it")
    return said


def choices(arguments: Arguments, **more: Any) -> Choices:  # noqa: ANN401
    """Options, environment and `.env`, in that order of strength."""
    from fishpipe.project import Choices

    file = dotenv(arguments.manifest.parent / ".env")
    return Choices(
        variables=arguments.variables,
        provider=arguments.provider,
        profiles=arguments.profiles,
        allow_outside=arguments.allow_outside,
        strict=arguments.strict,
        prices=_prices(os.environ.get(PRICES, "")),
        store=os.environ.get(STORE),
        token=setting(TOKEN, file),
        base_url=setting(BASE_URL, file),
        **more,
    )


def out(text: str, *, commands: bool = False) -> None:
    """A result, to stdout; it has `commands` to GitHub where it is made of them."""
    click.echo(shown(text) if commands else safe(text))


def err(text: str) -> None:
    """Progress and messages, to stderr; where nobody takes them, the work goes on."""
    with suppress(OSError):
        click.echo(safe(text), err=True)


def event(text: str) -> None:
    """A line of JSON about a run, which goes on where nobody takes it; that is said by its exit code."""
    with suppress(OSError):
        click.echo(shown(text))


def safe(text: str) -> str:
    """Text as it may be shown here: nothing in it is obeyed, neither by a terminal nor by a runner of checks."""
    is_run = any(name in os.environ for name in ("GITHUB_ACTIONS", "TF_BUILD"))
    return without_commands(shown(text)) if is_run else shown(text)


def answer(arguments: Arguments, data: Mapping[str, Any], words: str) -> None:
    """A result, as JSON or in words."""
    if arguments.json:
        out(json.dumps(data, ensure_ascii=False, indent=2))
    elif not arguments.quiet:
        out(words)


def tell_error(error: FishpipeError) -> int:
    """Say what went wrong; returns the exit code."""
    from fishpipe.errors import ManifestError

    if isinstance(error, ManifestError):
        from fishpipe.report.problems import problems_text

        err(problems_text(error.problems, error.sources))
    else:
        err(str(error))
    return error.exit_code


def is_terminal() -> bool:
    """Whether a person watches stderr and can answer on stdin."""
    return sys.stderr.isatty() and sys.stdin.isatty()


def tell_problems(style: str, error: ManifestError) -> int:
    """Show what is wrong with a manifest, in a style; returns the exit code."""
    from fishpipe.report.problems import show_problems

    told = show_problems(style, from_start(style, error.problems), (), error.sources)
    if style == "text":
        err(told)
    else:
        out(told, commands=style == "github")
    return error.exit_code


def from_start(style: str, problems: Sequence[Problem]) -> list[Problem]:
    """Problems as those who read annotations know the files: from the repository, or where the command was begun."""
    if style not in ("github", "sarif"):
        return list(problems)
    top = os.environ.get("GITHUB_WORKSPACE") or _BEGUN["at"]
    return [replace(p, span=replace(p.span, file=os.path.relpath(p.span.file, top))) for p in problems]


def enter(directory: Path) -> None:
    """Work in another folder. Raises UsageError."""
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"-C {directory}: {error.strerror}") from error


def variables(pairs: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE pairs. Raises UsageError."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--var {pair}: expected NAME=VALUE")
        found[name] = value
    return found


def dotenv(path: Path) -> dict[str, str]:
    """The settings in a `.env` that are read there; what is odd about it is said."""
    found = read_dotenv(path)
    for line in told_of(path, found):
        err(line)
    return {name: value for name, value in found.items() if name in _READ_THERE}


def told_of(path: Path, found: Mapping[str, str]) -> list[str]:
    """What is said of a `.env` each time: others can read a token in it, or it sets what only the user may set."""
    said = [f"{path} holds your token, and others can read it: chmod 600 {path}"] if _is_open(path, found) else []
    return said + [
        f"warning: {path} sets {name}, which is not read there: a project could bring it. export {name}=…"
        for name in found
        if name.startswith("FISHPIPE_") and name not in _READ_THERE
    ]


def _is_open(path: Path, found: Mapping[str, str]) -> bool:
    return TOKEN in found and os.name == "posix" and path.stat().st_mode & 0o077 != 0


def read_dotenv(path: Path) -> dict[str, str]:
    """What a `.env` sets; nothing where there is none. Raises UsageError for one that cannot be read."""
    if not os.path.lexists(path):
        return {}
    from io import StringIO

    from dotenv import dotenv_values

    try:
        text = read_plain(str(path), _LONGEST_DOTENV).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    return {name: value for name, value in dotenv_values(stream=StringIO(text), interpolate=False).items() if value}


def _prices(text: str) -> dict[str, float | None]:
    """``speech=15,voice=0.5,s1=12``: USD, or `unknown`."""
    prices: dict[str, float | None] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (part.strip() for part in pair.partition("="))
        try:
            prices[name] = None if value == "unknown" else float(value)
        except ValueError:
            prices[name] = -1.0
        if name not in _PRICED or not 0 <= (prices[name] or 0.0) <= _HIGHEST_PRICE:
            known = ", ".join(_PRICED)
            raise UsageError(f"{PRICES}: {pair}: expected NAME=USD, such as speech=15,s1=12; names: {known}")
    return prices


def setting(name: str, file: dict[str, str]) -> Setting | None:
    """A setting of the environment, or else of a `.env`."""
    from fishpipe.access import Setting

    if name == TOKEN:
        SECRETS.update(filter(None, (os.environ.get(name, "").strip(), file.get(name, "").strip())))
    if os.environ.get(name, "").strip():
        return Setting(value=os.environ[name].strip(), origin="environment")
    return Setting(value=file[name].strip(), origin=".env") if name in file else None
