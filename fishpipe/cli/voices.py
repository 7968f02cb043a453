"""fishpipe voices."""

from __future__ import annotations

import functools
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fishpipe.casting import forget_voice, voice_names
from fishpipe.cli.common import (
    BASE_URL,
    TOKEN,
    Arguments,
    dotenv,
    enter,
    err,
    is_terminal,
    open_project,
    out,
    setting,
    split_names,
    variables,
)
from fishpipe.errors import CallRefused, Declined, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fishpipe.catalog import Catalog
    from fishpipe.manifest.model import ProviderName
    from fishpipe.project import Project


class _InOrder(click.Group):
    """Lists its commands as they were declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(cls=_InOrder)
def command() -> None:
    r"""List, show, search and forget voices. Asking costs nothing.

    \b
      fishpipe voices list                      your own voices at the service
      fishpipe voices search narrator           public ones; put an id into the manifest
      fishpipe voices show marcus               one of the manifest, or an id
      fishpipe voices forget narrator           create it again in the next build (it is charged again)
    """


def _options(own: Callable[..., int]) -> Callable[..., int]:
    """The options of every subcommand."""
    for option in (
        click.option("-f", "--manifest", type=click.Path(path_type=Path), help="The manifest, or its folder."),
        click.option("--var", multiple=True, metavar="NAME=VALUE", help="Set a variable of the manifest."),
        click.option("--provider", type=click.Choice(["acedata", "sandbox"]), envvar="FISHPIPE_PROVIDER", help="Whom."),
        click.option("-C", "directory", type=click.Path(path_type=Path), help="Work in this folder."),
        click.option("--allow-outside", is_flag=True, help="Allow paths outside of the project."),
        click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
        click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong."),
    ):
        own = option(own)

    @functools.wraps(own)
    def call(
        manifest: Path | None, var: tuple[str, ...], provider: ProviderName | None, directory: Path | None,
        allow_outside: bool, quiet: bool, **more: Any,  # noqa: ANN401
    ) -> int:  # fmt: skip
        if directory is not None:
            enter(directory)
        path = _manifest(manifest)
        if path is None:
            return own(project=None, **more)
        arguments = Arguments(
            manifest=path, targets=(), variables=variables(var), provider=provider, profiles=(),
            allow_outside=allow_outside, strict=False, json=False, quiet=quiet, verbose=False,
        )  # fmt: skip
        return own(project=open_project(arguments), **more)

    return call


def _manifest(named: Path | None) -> Path | None:
    """The manifest that is named, or found from here; without any, the account can be asked all the same."""
    from fishpipe.manifest.paths import DEFAULT_NAME

    if named is not None:
        path = named / DEFAULT_NAME if named.is_dir() else named
        if not path.is_file():
            raise UsageError(f"there is no manifest {path}")
        return path
    try:
        return split_names(())[0]
    except UsageError:
        return None


def _paged(own: Callable[..., int]) -> Callable[..., int]:
    own = click.option("--tag", default="", help="Only voices with this tag.")(own)
    own = click.option("--page", type=click.IntRange(1), default=1, help="Which page.")(own)
    return click.option("--size", type=click.IntRange(1, 100), default=20, show_default=True, help="Voices a page.")(
        own
    )


@contextmanager
def _catalog(project: Project | None) -> Iterator[Catalog]:
    if project is not None:
        with project.catalog() as catalog:
            yield catalog
        return
    from fishpipe.access import DEFAULT_BASE_URL, Access, Setting
    from fishpipe.catalog import Catalog
    from fishpipe.machine import SystemClock

    file = dotenv(Path(".env"))
    base = setting(BASE_URL, file) or Setting(value=DEFAULT_BASE_URL, origin="default")
    access = Access(base_url=base, token=setting(TOKEN, file))
    yield Catalog(base.value, access.check("asking for voices needs"), SystemClock().now)


@command.command("list")
@_options
@_paged
def list_(project: Project | None, as_json: bool, tag: str, page: int, size: int) -> int:
    r"""List your own voices at the service, newest first, with the names that the manifest has for them.

    \b
      fishpipe voices list
    """
    return _show_page(project, own=True, title="", tag=tag, page=page, size=size, as_json=as_json)


@command.command("search")
@click.argument("words", nargs=-1)
@_options
@_paged
def search(words: tuple[str, ...], project: Project | None, as_json: bool, tag: str, page: int, size: int) -> int:
    r"""Search all voices of the service by title.

    \b
      fishpipe voices search calm narrator --tag english
    """
    title = " ".join(words)
    return _show_page(project, own=False, title=title, tag=tag, page=page, size=size, as_json=as_json)


def _show_page(project: Project | None, *, as_json: bool, **query: Any) -> int:  # noqa: ANN401
    from fishpipe.report.voices import page_text, voice_data

    with _catalog(project) as catalog:
        total, voices = catalog.page(**query)
    names = _names(project)
    if as_json:
        data = [voice_data(voice, names.get(voice.id)) for voice in voices]
        out(json.dumps({"total": total, "page": query["page"], "voices": data}, ensure_ascii=False, indent=2))
    else:
        out(page_text(total, voices, names, page=query["page"], size=query["size"]))
    return 0


@command.command("show")
@click.argument("name")
@_options
def show(name: str, project: Project | None, as_json: bool) -> int:
    r"""Show one voice: by its name in the manifest, or by its id.

    \b
      fishpipe voices show marcus
    """
    from fishpipe.report.voices import voice_data, voice_text

    ids = {known: voice_id for voice_id, known in _names(project).items()}
    if project is not None and name in project.manifest.voices and name not in ids:
        err(f"voice {name} is not created yet, or is made of references: it is not at the service")
        return 1
    with _catalog(project) as catalog:
        try:
            voice = catalog.voice(ids.get(name, name))
        except CallRefused as error:
            error.message = f'no voice "{name}" at the service: {error.message}. Search: fishpipe voices search WORDS'
            raise
    data = voice_data(voice, _names(project).get(voice.id))
    out(json.dumps(data, ensure_ascii=False, indent=2) if as_json else voice_text(data))
    return 0


@command.command("forget")
@click.argument("name")
@_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def forget(name: str, project: Project | None, as_json: bool, yes: bool) -> int:
    r"""Forget what became of a voice: one from a sample is created (and charged) again when it is next needed.

    It stays at the service, and what was spoken with it stays here. A voice by id is only looked up again.

    \b
      fishpipe voices forget narrator
    """
    if project is None:
        raise UsageError("forget needs a manifest")
    if name not in project.manifest.voices:
        hint = did_you_mean(name, project.manifest.voices) or f"known: {', '.join(project.manifest.voices)}"
        raise UsageError(f'no voice "{name}" in {project.manifest.path}; {hint}')
    question = f"Forget voice {name}? Where it is made from a sample, its next use creates it again, and is charged."
    if not yes and is_terminal() and not click.confirm(question, err=True):
        raise Declined("declined. Nothing was forgotten")
    known = forget_voice(project, name)
    out(json.dumps({"voice": name, "forgotten": known}) if as_json else f"voice {name}: {known or 'was not known'}")
    return 0


def _names(project: Project | None) -> dict[str, str]:
    """Id → name, of the manifest's voices that have an id."""
    return voice_names(project) if project is not None else {}
