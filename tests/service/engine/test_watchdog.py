"""Laws of the watchdog, with a manual clock."""

from service.engine.watchdog import Watchdog


def test_an_idle_worker_may_be_silent():
    watchdog = Watchdog(limit_seconds=8)
    assert not watchdog.is_in_doubt(now=1000)
    watchdog.work_sent(now=1000)
    watchdog.report(now=1001, has_work=False)
    assert not watchdog.is_given_up(now=5000)


def test_a_silent_worker_is_first_in_doubt_and_then_given_up():
    watchdog = Watchdog(limit_seconds=8)
    watchdog.work_sent(now=100)
    assert (watchdog.is_in_doubt(now=102), watchdog.is_given_up(now=102)) == (False, False)
    assert (watchdog.is_in_doubt(now=103), watchdog.is_given_up(now=103)) == (True, False)
    assert watchdog.is_given_up(now=109)


def test_a_report_ends_the_doubt():
    watchdog = Watchdog(limit_seconds=8)
    watchdog.work_sent(now=100)
    watchdog.report(now=104, has_work=True)
    assert not watchdog.is_in_doubt(now=105)


def test_more_work_does_not_excuse_silence():
    watchdog = Watchdog(limit_seconds=8)
    for now in range(100, 110):
        watchdog.work_sent(now=now)
    assert watchdog.is_given_up(now=110)


def test_a_worker_whose_turns_are_long_gets_more_time():
    watchdog = Watchdog(limit_seconds=8)
    watchdog.expect(longest_turn_seconds=5)
    watchdog.work_sent(now=100)
    assert not watchdog.is_given_up(now=119)
    assert watchdog.is_given_up(now=121)


def test_time_in_which_this_process_stood_still_does_not_count():
    watchdog = Watchdog(limit_seconds=8)
    watchdog.work_sent(now=100)
    watchdog.excuse(60)
    assert not watchdog.is_in_doubt(now=161)
