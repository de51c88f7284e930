"""The work ahead of a new request is what a sum over all others gives, whatever came and went before."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.engine.backlog import Backlog
from service.engine.owner import Owner

Changes = list[tuple[str, int, int]]

changes = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.integers(1, 30)), max_size=30)


@given(changes, st.sampled_from("abcd"), st.integers(0, 60), st.integers(0, 30))
def test_work_ahead_is_the_sum_of_all_shares(added: Changes, client: str, num_tokens: int, num_removed: int) -> None:
    backlog, left = Backlog(), Counter[tuple[str, int]]()
    for name, request_id, amount in added:
        backlog.add(Owner(name, request_id, "interactive"), amount)
        left[name, request_id] += amount
    for name, request_id, amount in added[:num_removed]:
        backlog.remove(Owner(name, request_id, "interactive"), amount)
        left[name, request_id] -= amount
    own = sum(min(num_tokens, amount) for (name, _), amount in left.items() if name == client)
    totals = Counter[str]()
    for (name, _), amount in left.items():
        totals[name] += amount
    others = sum(min(num_tokens + own, total) for name, total in totals.items() if name != client)
    assert backlog.num_tokens == sum(left.values())
    assert backlog.ahead_of(client, "interactive", num_tokens) == own + others
