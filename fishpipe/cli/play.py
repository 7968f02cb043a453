"""fishpipe play."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fishpipe.cli.common import Arguments, common, err, open_project, options
from fishpipe.errors import UsageError
from fishpipe.studio import clip_of, measured, spoken
from fishpipe.takes import takes_of

if TYPE_CHECKING:
    from fishpipe.graph.steps import ClipStep
    from fishpipe.project import Project

PLAYER: Final = "FISHPIPE_PLAYER"
# In the order of preference; the file's name is added.
_PLAYERS: Final = (
    "afplay",
    "mpv --no-video --really-quiet",
    "ffplay -nodisp -autoexit -loglevel error",
    "cvlc --quiet --play-and-exit",
    "play -q",
    "pw-play",
    "xdg-open",
    "open",
)


@options(click.option("--take", type=click.IntRange(1), help="Another take than the current one."))
def play(arguments: Arguments, *, take: int | None) -> int:
    r"""Play an output, or a segment's clip, with a player of this machine (or FISHPIPE_PLAYER).

    \b
      fishpipe play dist/ep1.mp3
      fishpipe play episode-1/0007 --take 2
    """
    if len(arguments.targets) != 1:
        raise UsageError("play needs one target: an output, a script or a segment")
    project = open_project(arguments)
    path, step = _file(project, arguments.targets[0], take)
    if step is not None and step.format == "pcm":
        # It stays: some players return before they have read it.
        path = _as_wav(path, step, Path(tempfile.mkdtemp(prefix="fishpipe-")))
    return _play(path)


def _file(project: Project, target: str, take: int | None) -> tuple[Path, ClipStep | None]:
    """What is to be played, and the step where it is a clip."""
    with project.session([target]) as session:
        outputs = [step.output.path for step in session.graph.outputs]
        if outputs and take is None:
            if not outputs[0].exists():
                raise UsageError(f"{session.graph.outputs[0].output.shown} is not built: fishpipe build {target}")
            return outputs[0], None
        line = spoken(project, session, [target])[0]
        found = {each.number: each for each in takes_of(line.step, session.snapshot)}
        number = take or line.step.take
        path = clip_of(session, found[number].step) if number in found else None
        if path is not None and measured(session, found[number]) is None:
            raise UsageError(f"{path} is damaged; have it again: fishpipe build -B")
        if path is None:
            known = ", ".join(str(each.number) for each in found.values() if each.digest) or "none"
            raise UsageError(f"take {number} of {line.address} is not here; here: {known}")
        return path, line.step


def _as_wav(path: Path, step: ClipStep, folder: Path) -> Path:
    import wave

    made = folder / "clip.wav"
    with wave.open(str(made), "wb") as file:
        file.setparams((1, 2, step.sample_rate, 0, "NONE", "not compressed"))
        file.writeframes(path.read_bytes())
    return made


def _play(path: Path) -> int:
    named = os.environ.get(PLAYER, "").strip()
    choices = [named] if named else [player for player in _PLAYERS if shutil.which(player.split()[0])]
    if not choices:
        err(f"no player was found; set {PLAYER}, or open {path} yourself")
        return 1
    err(os.path.relpath(path))
    try:
        command = [*shlex.split(choices[0]), str(path)]
        code = subprocess.run(command, check=False).returncode  # noqa: S603
        why = f"it ended with {code}" if code else ""
    except (OSError, ValueError) as error:
        why = str(error)
    if why:
        err(f"{choices[0]}: {why}; set {PLAYER} to another player")
    return 1 if why else 0


command = common(play)
