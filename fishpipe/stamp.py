"""The stamp: a build that found nothing to do, kept with all that it looked at, so that the next one need not think.

``.fishpipe/stamp`` holds a record for each way of asking (options, targets, working directory, settings). A record
has a line for each thing that the plan came from: what kind it is, its mark, its path. Where every mark is as it was,
the answer is as it was. A mark is a file's size, times and inode; where these differ, the digest of its bytes decides.

This module is imported before anything else, and so imports next to nothing: it is the whole of a build that has
nothing to do. :mod:`fishpipe.stamping` writes what it reads.
"""

from __future__ import annotations

import os
import sys

from fishpipe import __version__
from fishpipe.files import read_plain
from fishpipe.seal import is_sealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 2
NAME = "stamp"
MOST_BYTES = 64_000_000
# How many ways of asking are remembered, the latest first.
MOST_RECORDS = 8
_COMMON = ("--allow-outside", "--strict", "--json", "-q", "--quiet", "-v", "--verbose")
_COMMON_VALUED = ("-C", "--var", "--provider", "--profile", "--color")
# What may stand on the command line where a stamp answers: by verb, the options without a value and those with one.
FLAGS = {
    "plan": frozenset((*_COMMON, "--exit-code")),
    "build": frozenset(
        (
            *(*_COMMON, "-n", "--dry-run", "-k", "--keep-going", "--collect", "--frozen", "--locked", "--offline"),
            *("-y", "--yes", "--wait"),
        )
    ),
}
VALUED = {
    "plan": frozenset(_COMMON_VALUED),
    "build": frozenset((*_COMMON_VALUED, "-j", "--jobs", "--budget", "--in-doubt", "--deadline")),
}
# Those that the answer depends on; the others change nothing where there is nothing to do.
KEYED = frozenset(("--var", "--provider", "--profile", "--allow-outside", "--strict", "-v"))
_SETTINGS = ("ACEDATACLOUD_API_BASE_URL", "HOME")
_PREFIX = "FISHPIPE_"
_LONG = {"--verbose": "-v", "--quiet": "-q", "--dry-run": "-n"}
ABSENT = "-"


class Request:
    """A `build` or `plan` as it was asked for: `key` is all that its answer depends on and that is no file.

    `folder` is that of the manifest, `answers` what is to be said: warnings, words, build (JSON), plan (JSON).
    """

    def __init__(self, key: str, folder: str, answers: tuple[str, ...]) -> None:
        self.key, self.folder, self.answers = key, folder, answers


def request_of(arguments: list[str]) -> Request | None:
    """What is asked for, where a stamp may know the answer: None for other verbs, and for options that do work."""
    if not arguments or arguments[0] not in ("build", "plan"):
        return None
    read = _read(arguments[0], arguments[1:])
    if read is None:
        return None
    options, names = read
    try:
        here = os.path.realpath(os.path.join(os.getcwd(), dict(options).get("-C", "")))
    except OSError:
        return None
    folder = _folder(here, names)
    if folder is None:
        return None
    given = {name for name, _ in options}
    is_plan = arguments[0] == "plan" or "-n" in given
    is_quiet = "-q" in given
    answer = ("plan" if is_plan else "build") if "--json" in given else "words"
    answers = (() if is_quiet and answer == "words" and not is_plan else (answer,)) + (
        () if is_quiet else ("warnings",)
    )
    said = [f"{name}={value}" for name, value in options if name in KEYED]
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items()) if _matters(name)]
    program = [__version__, sys.version, sys.executable, os.path.dirname(__file__), sys.path]
    key = repr([program, here, names, said, settings])
    return Request(key, folder, answers)


def _matters(name: str) -> bool:
    return name in _SETTINGS or name.startswith(_PREFIX)


def _read(verb: str, arguments: list[str]) -> tuple[list[tuple[str, str]], list[str]] | None:
    """(options with their values, names); None where something is not known here, or is odd."""
    options, names = [], []
    waiting = iter(arguments)
    for argument in waiting:
        if not argument.startswith("-"):
            names.append(argument)
            continue
        name, equals, value = argument.partition("=")
        if name in VALUED[verb] and (not equals or name.startswith("--")):
            value = value if equals else next(waiting, "")
            if not _is_value(name, value):
                return None
            options.append((name, value))
        elif argument in FLAGS[verb]:
            options.append((_LONG.get(argument, argument), ""))
        else:
            return None
    return options, names


def _is_value(name: str, value: str) -> bool:
    """Whether an option can have a value for certain: click is the judge of all others."""
    if name in ("-j", "--jobs"):
        return value.isdecimal() and value.isascii() and 1 <= int(value) <= 100
    if name == "--budget":
        return value.replace(".", "", 1).isdecimal() and value.isascii()
    if name == "--deadline":
        return value[-1:] in ("s", "m", "h") and value[:-1].isdecimal() and value.isascii() and len(value) < 7
    if name == "--var":
        return value.partition("=")[0].isidentifier() and "=" in value
    choices = {
        "--color": ("auto", "always", "never"),
        "--provider": ("acedata", "sandbox"),
        "--in-doubt": ("ask", "retry", "skip"),
    }
    return value in choices[name] if name in choices else bool(value)


def _folder(here: str, names: list[str]) -> str | None:
    """Where the manifest lies: that of the first name, if it is one, or the nearest above."""
    if names:
        first = os.path.join(here, names[0])
        if first.endswith((".yaml", ".yml")):
            return os.path.dirname(first)
        if os.path.isdir(first):
            return first
    while not os.path.isfile(os.path.join(here, "fishpipe.yaml")):
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above
    return here


def answered(request: Request) -> tuple[str, str] | None:
    """(stdout, stderr) of a build or plan that has nothing to do; None where that must be found out."""
    for state in (".fishpipe", os.path.join(".fishpipe", "draft")):
        record = _record(os.path.join(request.folder, state, NAME), request.key)
        if record is None:
            continue
        answers: dict[str, str] = {}
        for line in record:
            kind, mark, what = line.split("\t", 2)
            if kind == "say":
                answers[mark] = what.encode("latin-1").decode("unicode_escape")
            elif kind not in LOOKS or not is_as_it_was(kind, mark, what):
                return None
        said = {name: text for name, text in answers.items() if name in request.answers}
        warnings = said.pop("warnings", "")
        return "".join(said.values()), warnings
    return None


def _record(path: str, key: str) -> list[str] | None:
    for found, lines in records(path):
        if found == key:
            return lines
    return None


def records(path: str) -> list[tuple[str, list[str]]]:
    """The records of a stamp, each a key and its lines; none where it is not whole, or not ours."""
    try:
        text = read_plain(path, MOST_BYTES, links=False).decode("utf-8", "surrogateescape")
    except OSError:
        return []
    head, _, body = text.partition("\n")
    version, _, found = head.rpartition(" ")
    whole = version == f"fishpipe stamp {FORMAT}" and body.endswith("\n.\n")
    if not (whole and is_sealed("stamp", body.encode("utf-8", "surrogateescape"), found)):
        return []
    parts = [part.split("\n") for part in body[:-3].split("\n\n")]
    return [(part[0], part[1:]) for part in parts]


def is_as_it_was(kind: str, mark: str, path: str) -> bool:
    """Whether one thing that a plan came from is as its mark says."""
    if kind != "file":
        return mark_of(kind, path) == mark
    stat, _, digest = mark.rpartition(" ")
    now = look(path)
    return now == stat or (now != ABSENT and digest_of(path) == digest)


def mark_of(kind: str, path: str) -> str:
    """The mark of something; a new one each time where it cannot be looked at."""
    try:
        return LOOKS[kind](path)
    except OSError as error:
        return f"? {error} {os.urandom(8).hex()}"


def look(path: str) -> str:
    """A file's size, times (ns) and inode; `-` where it is not there."""
    try:
        return stat_mark(os.stat(path))
    except OSError:
        return ABSENT


def stat_mark(stat: os.stat_result) -> str:
    """The mark of what was looked at."""
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def digest_of(path: str) -> str:
    """sha256 of a file's bytes; empty where it cannot be read."""
    import hashlib

    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def look_for_names(path: str) -> str:
    """The names in a folder, and which of them are files."""
    try:
        return repr(sorted((entry.name, entry.is_file()) for entry in os.scandir(path)))
    except OSError:
        return ABSENT


def look_for_rest(path: str) -> str:
    """Whether something is left of a build that was killed: `-` where it is not there, or empty."""
    found = look(path)
    return ABSENT if found.startswith("0 ") else found


def look_at_shelves(path: str) -> str:
    """A folder of clips by the marks of its shelves: none was added, removed or renamed."""
    marks = [look(path)]
    if marks[0] == ABSENT:
        return ABSENT
    shelves = sorted(name for name in os.listdir(path) if len(name) == 2)
    return repr([*marks, *(look(os.path.join(path, shelf)) for shelf in shelves)])


def look_at_clips(path: str) -> str:
    """The same, and the size and time of each clip."""
    marks = look_at_shelves(path)
    if marks == ABSENT:
        return ABSENT
    count, size, newest = 0, 0, 0
    for shelf in [entry.path for entry in os.scandir(path) if len(entry.name) == 2 and entry.is_dir()]:
        for entry in os.scandir(shelf):
            stat = entry.stat()
            count, size = count + 1, size + stat.st_size
            newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
    return f"{marks} {count} {size} {newest}"


def look_at_sources(path: str) -> str:
    """A package's own files: how many, and the newest."""
    count = newest = 0
    waiting = [path]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            if entry.is_dir():
                waiting.append(entry.path)
            elif entry.name.endswith((".py", ".json")):
                count, newest = count + 1, max(newest, entry.stat().st_mtime_ns)
    return f"{count} {newest}"


LOOKS: dict[str, Callable[[str], str]] = {
    "file": look,
    "mark": look,
    "names": look_for_names,
    "rest": look_for_rest,
    "shelves": look_at_shelves,
    "clips": look_at_clips,
    "sources": look_at_sources,
    "real": os.path.realpath,
}
