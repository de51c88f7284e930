"""Laws of the entry log: it holds the last entries, also after the death of the process that wrote them."""

import os
import signal
from contextlib import closing

from service.engine.entry_log import EntryLog


def test_it_holds_the_last_entries():
    with closing(EntryLog.create()) as log:
        assert log.read() == []
        for entries in ([1, 2, 2**40], [7], []):
            log.write(entries)
            assert log.read() == entries


def test_it_outlives_the_process_that_wrote_it():
    with closing(EntryLog.create()) as log:
        pid = os.fork()
        if pid == 0:
            log.write([5, 6])
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert log.read() == [5, 6]
