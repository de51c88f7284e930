"""Laws of the quarantine, with a manual clock."""

from model.search.spec import DecodeSpec
from service.engine.quarantine import MAX_SPECS, QUARANTINE_SECONDS, Quarantine


def spec(source: int) -> DecodeSpec:
    return DecodeSpec("model", (source, 2), (2,), 10)


def test_a_spec_is_held_for_a_while_and_then_forgotten():
    quarantine = Quarantine()
    quarantine.add(spec(1), now=100)
    assert quarantine.holds(spec(1), now=100 + QUARANTINE_SECONDS - 1)
    assert not quarantine.holds(spec(2), now=100)
    assert not quarantine.holds(spec(1), now=100 + QUARANTINE_SECONDS)


def test_the_oldest_makes_room():
    quarantine = Quarantine()
    for source in range(MAX_SPECS + 1):
        quarantine.add(spec(source), now=0)
    assert not quarantine.holds(spec(0), now=1)
    assert quarantine.holds(spec(MAX_SPECS), now=1)
