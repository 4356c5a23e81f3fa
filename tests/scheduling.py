"""Which worker of a run (pytest-xdist) gets which tests, so that no core waits while another has too much to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

BUSY = ("tests/model/test_notebook.py", "tests/browser/", "tests/model/", "tests/test_batch.py")
"""Browsers, trainings and Spark: they fill a core. The longest stand first."""
WAITING = (
    "tests/test_api_docs.py",
    "tests/test_container.py",
    "tests/test_full_disk.py",
    "tests/test_server",
    "tests/test_upgrade.py",
)
"""Real servers, that are mostly waited for."""
TOGETHER = (*BUSY, *WAITING)
"""Where the tests of a file share a server, a site or a training: they stay with one worker."""


def place(nodeid: str) -> int:
    """Where in the order of a run a test stands: busy files, then what is short, then files that wait."""
    if nodeid.startswith(WAITING):
        return len(BUSY) + 1
    return next((at for at, beginning in enumerate(BUSY) if nodeid.startswith(beginning)), len(BUSY))


class FromBothEnds(LoadScopeScheduling):
    """Files of TOGETHER are handed out whole, all other tests one by one; of three workers the first takes from the
    beginning, the others from the end.

    So a busy file runs beside some that wait, and the workers meet at tests that are short. For a collection in the
    order of :func:`place`.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(TOGETHER) else nodeid

    def _assign_work_unit(self, node: WorkerController) -> None:
        if self.nodes.index(node) % 3:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
