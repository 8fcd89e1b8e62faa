"""TensorBoard's event file, written at once: a full disk is noticed where it is met."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from nondiff.files.safe_path import SafePath

VERSION = "brain.Event:2"


class EventFile:
    """A new event file, in which events of later steps than it begins with are void elsewhere."""

    def __init__(self, folder: SafePath, purge_from: int) -> None:
        folder.make_folder()
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = (folder / name).create()
        self._writer = RecordWriter(self._file)
        self._add(Event(file_version=VERSION))
        start = SessionLog(status=SessionLog.START)
        self._add(Event(step=purge_from, session_log=start))

    def write(self, steps: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of one moment."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(Event(step=steps, summary=Summary(value=values)))

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())

    def close(self) -> None:
        """Nothing is buffered."""
        self._file.close()
