"""Interlaced video, as camcorders and broadcasts have it: each frame holds two moments, one in every second row."""

from collections import deque
from collections.abc import Iterator

import av
from av.filter import Graph


def deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """The same frames, each with its first moment alone; those that are not interlaced as they are.

    By FFmpeg's bwdif (BBC R&D's w3fdif with yadif's spatial check), which needs the frames before and after each.
    """
    weaver: _Unweaver | None = None
    for frame in frames:
        if weaver is not None and not weaver.takes(frame):
            yield from weaver.finish()
            weaver = None
        if weaver is None and frame.interlaced_frame:
            weaver = _Unweaver(frame)
        if weaver is None:
            yield frame
        else:
            yield from weaver.add(frame)
    if weaver is not None:
        yield from weaver.finish()


class _Unweaver:
    """FFmpeg's filter for frames like the first; what it gives has the times of what it got."""

    def __init__(self, first: av.VideoFrame):
        self._kind = (first.width, first.height, first.format.name)
        self._waiting: deque[av.VideoFrame] = deque()
        self._graph = Graph()
        self._source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=first.time_base
        )
        unweave = self._graph.add("bwdif", "mode=send_frame:deint=interlaced")
        sink = self._graph.add("buffersink")
        self._source.link_to(unweave)
        unweave.link_to(sink)
        self._graph.configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        return (frame.width, frame.height, frame.format.name) == self._kind

    def add(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        self._waiting.append(frame)
        self._source.push(frame)
        return self._ready()

    def finish(self) -> Iterator[av.VideoFrame]:
        self._source.push(None)
        return self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while self._waiting:
            try:
                made = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            given = self._waiting.popleft()
            made.pts, made.dts, made.time_base = given.pts, given.dts, given.time_base  # the filter counts in halves
            yield made
