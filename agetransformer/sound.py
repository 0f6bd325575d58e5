"""The sound of a video into an MP4: copied packet by packet where MP4 players know it, else as AAC."""

from contextlib import suppress
from typing import cast

import av
from av import AudioFrame, AudioResampler, Packet
from av.audio.stream import AudioStream
from av.container import OutputContainer

from agetransformer.footage import reading

_COPIED = {"aac", "mp3", "opus", "flac", "alac", "ac3", "eac3"}
_AAC_FRAME = 1024  # samples
_AAC_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # a second


class Sound:
    """One audio stream on its way into an MP4."""

    def __init__(self, source: AudioStream, output: OutputContainer):
        self._source, self._output = source, output
        self._resampler: AudioResampler | None = None
        if source.codec_context.codec.canonical_name in _COPIED:
            self._target = output.add_stream_from_template(source)
        else:
            rate = min(_AAC_RATES, key=lambda known: abs(known - source.rate))
            layout = "mono" if source.layout.nb_channels == 1 else "stereo"
            self._target = output.add_stream("aac", rate=rate)
            self._target.layout = layout
            self._resampler = AudioResampler("fltp", layout, rate, _AAC_FRAME)

    def add(self, packet: Packet) -> None:
        """The stream's next packet."""
        if self._resampler is None:
            if packet.dts is not None:  # the demuxer's last packet is empty
                packet.stream = self._target
                self._output.mux(packet)
            return
        frames: list[AudioFrame] = []
        with reading(), suppress(av.InvalidDataError):  # players leave such a packet out
            frames = cast(list[AudioFrame], packet.decode())
        for frame in frames:
            self._encode(frame)

    def finish(self) -> None:
        """Write what is still on its way."""
        if self._resampler is not None:
            self._encode(None)
            self._output.mux(self._target.encode(None))

    def _encode(self, frame: AudioFrame | None) -> None:
        """Sound as AAC; None: what the resampler still has."""
        for part in cast(AudioResampler, self._resampler).resample(frame):
            self._output.mux(self._target.encode(part))
