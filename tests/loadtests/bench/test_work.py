from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench.work import Work, joined


@given(st.integers(1, 20), st.integers(1, 6))
def test_shares_join_to_the_whole_in_its_order(num_sentences: int, count: int) -> None:
    work = Work(tuple((index,) for index in range(num_sentences)), ((0,),) * num_sentences, 1, 8, 10)
    shares = [work.share(index, count) for index in range(count)]
    assert sum(len(share.prompts) for share in shares) == num_sentences
    assert joined([[list(source) for source in share.sources] for share in shares]) == [list(s) for s in work.sources]
