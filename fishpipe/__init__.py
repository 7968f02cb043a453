"""make for voices: build spoken audio from a manifest, and pay for each line once.

The command line is ``fishpipe``; :class:`fishpipe.project.Project` is the same from Python.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
