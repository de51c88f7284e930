"""Abbreviations that do not end a sentence, and the words that show that the number before them is no German ordinal.

The lists contain what sentencex's own lists lack, found with `python -m loadtests.bench.boundaries`. Entries are
written without their last period and, except for `before_names`, in lower case.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abbreviations:
    before_names: frozenset[str] = frozenset()
    """Titles and the like: the sentence goes on, whatever follows."""
    before_numbers: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    """The sentence goes on if the next word is in lower case."""
    words: frozenset[str] = frozenset()
    """Words that sentencex takes for abbreviations, although they are not abbreviations in lower case."""

    @classmethod
    def of(cls, names: str, numbers: str, others: str, words: str = "") -> "Abbreviations":
        return cls(_words(names), _words(numbers), _words(others), _words(words))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ABBREVIATIONS: Mapping[str, Abbreviations] = {
    "en": Abbreviations.of(
        "Mr Mrs Ms Dr Prof Rev Gen Lt Col Capt Sgt Sen Rep Gov Hon St Mt Ft Messrs",
        "approx ca c no nos vol vols ch chap sec sect fig figs eq eqs p pp art par para tab app ver ed ext tel",
        "approx mon tue tues wed thu thur thurs fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec "
        "inc ltd co corp etc al est dept min max vs",
        "me ill may miss fed no re",
    ),
    "de": Abbreviations.of(
        "Dr Prof Hr Hrn Fr Frl Dipl Ing Mag St Hl Sr geb",
        "abb abs abt anm art aufl bd bde bsp ca circa gem gl h jg kap lfd nr nrn pos s str tab tel vgl z ziff",
        "bzw usw etc ca evtl ggf inkl exkl max min mind sog usf zzgl abzgl str gest verh jh jhd std",
        "mich mag",
    ),
    "fr": Abbreviations.of(
        "M MM Mme Mmes Mlle Mlles Mgr Dr Drs Pr Prs Me Mes St Ste Sts Stes av bd boul",
        "no nos n art chap ch fig p pp vol t éd env janv févr avr juil sept oct nov déc tél par al ann réf",
        "env h etc apr adm min max éd hab p.ex",
    ),
    "es": Abbreviations.of(
        "D Dn Dña Dª Sr Sra Srta Sres Dr Dra Dres Prof Profa Lic Ing Arq Gral Sto Sta Fr Mons Excmo Excma Avda a d",
        "aprox art arts cap caps fig figs núm núms n.º pág págs p pp vol vols t tel apdo ref s",
        "aprox av etc pág núm ud uds vd vds s.a admón dpto dcha izq",
        "bien auto contra ante entre sobre mar no nos",
    ),
    "ja": Abbreviations.of("Dr Mr Mrs Ms Prof St", "no vol ver p pp fig", ""),
}

GERMAN_STARTERS = _words(
    # None of these is a noun, so a number before one of them is not an ordinal.
    "der die das dem den des dies diese dieser dieses ein eine einer einem einen ich du er sie es wir ihr man mein "
    "meine sein seine unser unsere kein keine und aber oder denn wenn als weil ob da dann danach daher darum dabei "
    "damit dafür doch dort so jetzt nun hier heute gestern auch nur nicht noch wie was wer wo warum wann welche in im "
    "an am auf aus bei beim mit nach seit von vom vor zu zum zur für über unter um durch gegen ohne bis ja nein alle "
    "viele beide jeder jede niemand später trotzdem dennoch außerdem allerdings"
)
