"""Instance norm and LeakyReLU as one operation, for training: few passes over memory, and a backward pass to match."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_SLOPE = 0.2
_CACHED = 2**18  # values that stay in the caches of a core, in float32 too


class NormAct(torch.autograd.Function):
    """x [N, C, H, W], gamma and beta [C] -> LeakyReLU(0.2) of the instance norm, channels last, in the precision of x.

    Sums are float32 at least. PyTorch's own `instance_norm` leaves channels last, and the gradient of `var_mean` and
    three elementwise operations takes two to four times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        flat = x.permute(0, 2, 3, 1).flatten(1, 2)  # [N, HW, C], as it lies in memory
        count, (sums, squares) = flat.shape[1], _sums(flat)
        mean = sums / count
        inverse = (squares / count - mean.square()).clamp(min=0).add(eps).rsqrt()
        scale = inverse * weight
        factor, shift = scale.to(x.dtype), (bias - mean * scale).to(x.dtype)
        y = torch.empty_like(flat)
        for part, made in zip(_parts(flat), _parts(y), strict=True):
            F.leaky_relu_(torch.addcmul(shift, part, factor, out=made), _SLOPE)
        ctx.save_for_backward(flat, y, mean, inverse, weight)
        return y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        flat, y, mean, inverse, weight = ctx.saved_tensors
        given = gradient.permute(0, 2, 3, 1).flatten(1, 2)
        dx, by_bias, dot = torch.empty_like(flat), 0, 0
        for part, result, arriving, dy in zip(_parts(flat), _parts(y), _parts(given), _parts(dx), strict=True):
            # By the result, whose sign is the input's; dx holds dy until its sums are known.
            torch.ops.aten.leaky_relu_backward.grad_input(arriving, result, _SLOPE, True, grad_input=dy)
            by_bias = by_bias + dy.sum(1, keepdim=True, dtype=mean.dtype)
            dot = dot + (dy * part).sum(1, keepdim=True, dtype=mean.dtype)
        by_weight = (dot - mean * by_bias) * inverse
        # dx = scale (dy - mean(dy) - n mean(dy n)) with n the normalised x, put as factors of dy, of x and of 1.
        scale, count = inverse * weight, flat.shape[1]
        of_x = -scale * inverse * by_weight / count
        of_one = (-scale * by_bias / count - of_x * mean).to(dx.dtype)
        factor, of_x = scale.to(dx.dtype), of_x.to(dx.dtype)
        for part, dy in zip(_parts(flat), _parts(dx), strict=True):
            torch.addcmul(torch.addcmul(of_one, part, of_x), dy, factor, out=dy)
        return dx.unflatten(1, gradient.shape[2:]).permute(0, 3, 1, 2), by_weight.sum((0, 1)), by_bias.sum((0, 1)), None


def _sums(flat: Tensor) -> tuple[Tensor, Tensor]:
    """[N, HW, C] -> the sums of its values and of their squares, [N, 1, C] each, in float32 at least."""
    dtype = torch.promote_types(flat.dtype, torch.float32)
    if flat.device.type != "cpu":  # reads it twice, and writes nothing of its size
        length = torch.linalg.vector_norm(flat, dim=1, keepdim=True, dtype=dtype)
        return flat.sum(1, keepdim=True, dtype=dtype), length.square()
    sums = squares = torch.zeros((), dtype=dtype)
    for part in _parts(flat):
        wide = part.to(dtype)
        sums, squares = sums + wide.sum(1, keepdim=True), squares + wide.square().sum(1, keepdim=True)
    return sums, squares


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """[N, HW, C] in parts that stay in a CPU's caches from one operation to the next; all at once on other devices."""
    rows = x.shape[1] if x.device.type != "cpu" else max(1, _CACHED // (x.shape[0] * x.shape[2]))
    return x.split(rows, dim=1)
