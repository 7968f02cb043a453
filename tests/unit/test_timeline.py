from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sounds import lay_out

from fishpipe.manifest.model import Micros
from fishpipe.timeline import Place, Samples, Silence, Sound, to_samples

sounds = st.builds(Sound, st.integers(0, 10**7).map(Samples), st.integers(0, 10**7).map(Micros))
items = st.lists(sounds | st.builds(Silence, st.integers(0, 10**7).map(Micros)), max_size=30)
rates = st.sampled_from([16000, 22050, 24000, 32000, 44100, 48000])


def test_a_gap_stands_between_sounds_and_not_after_the_last() -> None:
    line = lay_out([Sound(Samples(100), Micros(1_000_000)), Sound(Samples(50), Micros(1_000_000))], 1000)
    assert line.places == (Place(Samples(0), Samples(100)), Place(Samples(1100), Samples(1150)))
    assert line.length == 1150


def test_a_pause_replaces_the_gap_before_it() -> None:
    gap, pause = Micros(1_000_000), Micros(2_000_000)
    line = lay_out([Sound(Samples(100), gap), Silence(pause), Sound(Samples(50), gap)], 1000)
    assert [place.start for place in line.places] == [0, 100, 2100]


@given(items, rates)
def test_places_follow_each_other_and_fill_the_length(parts: list[Sound | Silence], rate: int) -> None:
    line = lay_out(parts, rate)
    assert len(line.places) == len(parts)
    end = 0
    for place, part in zip(line.places, parts, strict=True):
        assert place.start >= end
        length = part.length if isinstance(part, Sound) else to_samples(part.duration, rate)
        assert place.end - place.start == length
        end = place.end
    assert line.length == end


@given(st.integers(0, 10**10), rates)
def test_samples_are_within_half_of_the_time(time: int, rate: int) -> None:
    assert abs(to_samples(Micros(time), rate) - time * rate / 1e6) <= 0.5 + 1e-3
