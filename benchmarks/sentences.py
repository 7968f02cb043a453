"""Sentence ends in real prose against pysbd, a rule-based splitter: python benchmarks/sentences.py FILE.md [LANGUAGE].

Needs pip install pysbd. Prints how many ends each finds, on how many they agree, and the CPU seconds of both.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

from fishpipe.manifest.documents import read_document
from fishpipe.manifest.sentences import sentence_ends


def main() -> None:
    """Compare paragraph by paragraph."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pysbd
    name, language = sys.argv[1], (*sys.argv[2:], "en")[0]
    document, _ = read_document(Path(name).read_text(encoding="utf-8"), name)
    reference = pysbd.Segmenter(language=language, clean=False, char_span=True)
    found = expected = agreed = 0
    seconds = [0.0, 0.0]
    for block in document.blocks:
        began = time.process_time()
        ours = {len(block.text[:end].rstrip()) for end in sentence_ends(block.text, language)}
        between = time.process_time()
        theirs = {len(block.text[: span.end].rstrip()) for span in reference.segment(block.text)}
        theirs -= {len(block.text.rstrip())}
        seconds = [seconds[0] + between - began, seconds[1] + time.process_time() - between]
        found, expected, agreed = found + len(ours), expected + len(theirs), agreed + len(ours & theirs)
    print(f"ours {found}, pysbd {expected}, both {agreed}: F1 {2 * agreed / max(1, found + expected):.3f}")
    print(f"CPU s: ours {seconds[0]:.2f}, pysbd {seconds[1]:.2f}")


if __name__ == "__main__":
    main()
