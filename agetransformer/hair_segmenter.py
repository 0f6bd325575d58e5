"""Where a face's hair and beard are: a U-Net (Ronneberger et al. 2015) on EfficientNet-Lite0.

It learnt from the hair of the face that a square was aligned to, and leaves hats, ears, stubble and what is behind out.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.efficientnet import build_blocks, conv_norm

PARTS = ("hair", "beard")  # of the output, in this order; hair is that of the head
_DECODER = (48, 32, 24)  # channels at 1/8, 1/4 and 1/2 of the side


@dataclass(frozen=True)
class HairSegmenterConfig:
    """What it takes to rebuild the segmenter from its weights."""

    resolution: int = 192  # side of a face's square in what it is shown, in pixels


class HairSegmenter(nn.Module):
    """Picture -> how likely each pixel is hair, and how likely beard.

    Input: [N, 3, H, W] in [-1, 1], H and W multiples of 16, ideally of 32; the face's FFHQ-aligned square is somewhere
    in it, ideally at `config.resolution`, and may be all of the picture.
    """

    def __init__(self, config: HairSegmenterConfig | None = None):
        super().__init__()
        self.config = config or HairSegmenterConfig()
        self.stem = conv_norm(3, 32, 3, 2)
        self.stages = nn.ModuleList()  # to 1/2, 1/4, 1/8, 1/16 and 1/32 of the side
        channels, outputs = 32, []
        for stages in (slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 5), slice(5, 7)):
            blocks, channels = build_blocks(channels, stages)
            self.stages.append(blocks)
            outputs.append(channels)
        # Whose hair it is, and where a head ends, takes a look at all of it; added as in FPN (Lin et al. 2017).
        self.context = nn.Conv2d(outputs.pop(), outputs[-1], 1)
        for weights in self.context.parameters():
            nn.init.zeros_(weights)
        channels = outputs[-1]
        self.decoder = nn.ModuleList()
        for skip, width in zip(outputs[-2::-1], _DECODER, strict=True):
            self.decoder.append(conv_norm(channels + skip, width, 3))
            channels = width
        self.head = nn.Conv2d(channels, len(PARTS), 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> logits [N, 2, H, W], see `PARTS`."""
        x, maps = F.relu6(self.stem(pictures)), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        deepest = self.context(maps.pop())
        x = maps.pop()
        x = x + F.interpolate(deepest, x.shape[-2:], mode="bilinear", align_corners=False)
        for layer, skip in zip(self.decoder, maps[::-1], strict=True):
            x = F.relu6(layer(torch.cat([_double(x), skip], dim=1)))
        return _double(self.head(x))

    @torch.inference_mode()
    def predict(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> [N, 2, H, W] in 0..1, see `PARTS`; in bfloat16 where the CPU computes in it."""
        known: dict = getattr(torch.cpu, "get_capabilities", dict)()  # not in all versions of torch
        half = pictures.device.type == "cpu" and bool(known.get("avx512_bf16"))
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=half):
            logits = self(pictures.contiguous(memory_format=torch.channels_last))
        return logits.float().sigmoid()


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
