"""Huge pages for weights and caches, and for nothing that comes later.

`ALLOCATOR_OPTIONS` request huge pages for the whole heap. Memory that is written at once gets them at once. But the
system also goes on to make huge pages of small ones, and fills the gaps of the heap with zeros to do so: in time all
processes would grow, even those that do nothing.
"""

from ctypes import CDLL

PR_SET_THP_DISABLE = 41
"""From linux/prctl.h."""


def take_huge_pages(*, more: bool) -> None:
    """Whether this process, and those that are forked from it, take more huge pages. They keep those that they have."""
    prctl = getattr(CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_THP_DISABLE, int(not more), 0, 0, 0)
