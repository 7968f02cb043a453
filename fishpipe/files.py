"""Regular files of a bounded size, read: a pipe or a device is never waited for. Imports next to nothing."""

import errno
import os
import stat


def read_plain(path: str, most: int, *, links: bool = True) -> bytes:
    """A regular file's bytes, `most` at the most; through a link only if `links` are followed.

    Raises OSError, also for what is no regular file, or larger: its `strerror` goes on behind the path.
    """
    kind = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    descriptor = os.open(path, kind)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise OSError(errno.EFBIG, f"it is larger than {most // 1_000_000:,} MB", path)
        return data
    finally:
        os.close(descriptor)


def no_follow(path: str, flags: int) -> int:
    """An `opener` that opens no link, for a file of the user's own. Raises OSError."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
