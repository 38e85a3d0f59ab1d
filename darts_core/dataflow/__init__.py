"""A staged pipeline that keeps a device fed: items of an iterable go through stages of threads or processes, in order.

    with Sequence(PoolStep(read, nworkers=2), Queue(2)) as sequence:
        sequence.queue_iterable(pieces)
        for piece in sequence:
            ...

Order is kept. The source is drawn only as far ahead as workers and queues have room. What goes wrong is raised where
the items are taken, with stage, item and traceback. Threads, order and queues are SPDL's; see `run` and `processes`
for what is put around it.
"""

from darts_core.dataflow.errors import BadItem, DataflowError
from darts_core.dataflow.progress import describe_progress
from darts_core.dataflow.sequence import Sequence
from darts_core.dataflow.status import StageStatus, describe_flow
from darts_core.dataflow.steps import PackStep, PoolStep, ProcessStep, Queue, RepackStep, UnpackStep

__all__ = [
    "BadItem",
    "DataflowError",
    "PackStep",
    "PoolStep",
    "ProcessStep",
    "Queue",
    "RepackStep",
    "Sequence",
    "StageStatus",
    "UnpackStep",
    "describe_flow",
    "describe_progress",
]
