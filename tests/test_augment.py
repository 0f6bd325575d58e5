"""What is done to photos before the generator and D see them."""

import torch

from train.augment import lose_resolution, relight, retouch, whiten_beards


def test_lost_resolution_blurs_the_chosen_and_leaves_the_others():
    noise = torch.rand(8, 3, 64, 64) * 2 - 1
    random = torch.Generator().manual_seed(1)
    blurred = lose_resolution(noise, 0.5, random)
    changed = (blurred != noise).flatten(1).any(dim=1)
    assert 0 < changed.sum() < 8
    detail = blurred.diff(dim=3).abs().mean(dim=(1, 2, 3)) / noise.diff(dim=3).abs().mean(dim=(1, 2, 3))
    assert (detail[changed] < 0.8).all() and (detail[~changed] == 1).all()
    assert blurred.abs().max() <= 1


def test_relit_faces_keep_their_detail_and_their_range():
    ramp = torch.linspace(-1, 1, 32).expand(3, 32, 32)
    faces = ramp.repeat(64, 1, 1, 1)
    lit = relight(faces, 0.5, torch.Generator().manual_seed(1))
    changed = (lit != faces).flatten(1).any(dim=1)
    assert 16 < changed.sum() < 48 and torch.equal(lit[~changed], faces[~changed])
    assert lit.min() >= -1 and lit.max() <= 1 and lit.isfinite().all()
    means = lit[changed].mean(dim=(1, 2, 3))
    assert means.min() < -0.35 < 0 < means.max()  # darker ones and brighter ones
    sides = lit[changed][..., :8, :].mean(dim=(1, 2, 3)) - lit[changed][..., 24:, :].mean(dim=(1, 2, 3))
    assert sides.min() < -0.1 < 0.1 < sides.max()  # lit from above, and from below


def test_coloured_lamps_tint_some_faces_and_others_keep_their_grey():
    grey = torch.zeros(64, 3, 32, 32)
    lit = relight(grey, 1.0, torch.Generator().manual_seed(2))
    tinted = (lit.amax(dim=1) - lit.amin(dim=1)).flatten(1).amax(dim=1) > 1e-3
    assert 8 < tinted.sum() < 40


def test_retouched_faces_lose_texture_and_keep_edges():
    faces = torch.full((32, 3, 96, 96), -0.6)
    faces[..., 48:] = 0.6  # an edge
    faces += 0.05 * torch.randn(faces.shape, generator=torch.Generator().manual_seed(0))
    smooth = retouch(faces, 0.5, torch.Generator().manual_seed(1))
    changed = (smooth != faces).flatten(1).any(dim=1)
    assert 8 < changed.sum() < 24
    texture = smooth[changed][..., 8:40].std(dim=(1, 2, 3))
    assert texture.min() < 0.025 and (texture < 0.051).all()
    edge = smooth[changed][..., 49:52].mean(dim=(1, 2, 3)) - smooth[changed][..., 44:47].mean(dim=(1, 2, 3))
    assert (edge > 1.1).all()
    assert retouch(faces, 0.0, torch.Generator().manual_seed(1)) is faces


def test_whitened_beards_are_as_light_as_the_face_and_the_rest_stays():
    images = torch.tensor([0.5, 0.1, -0.1])[None, :, None, None].repeat(32, 1, 96, 96)  # skin
    beards = torch.zeros(32, 1, 96, 96)
    beards[..., 64:88, 20:76] = 1
    strands = torch.where(torch.arange(96) % 2 == 0, -0.6, -0.8)[None, None, None]
    images = torch.where(beards > 0, strands * torch.tensor([0.9, 1.0, 1.1])[None, :, None, None], images)
    white = whiten_beards(images, beards, 0.5, torch.Generator().manual_seed(0))
    changed = (white != images).flatten(1).any(dim=1)
    assert 8 < changed.sum() < 24
    rest = (1 - beards).expand_as(white) > 0
    assert torch.equal(white[rest], images[rest])
    before, after = (x[changed][..., 68:84, 24:72] for x in (images, white))
    assert after.mean() > before.mean() + 0.4 and after.min() >= -1 and after.max() <= 1
    for one, other in zip(before, after, strict=True):
        assert other.mean() > one.mean() + 0.15
        assert (other.amax(dim=0) - other.amin(dim=0)).mean() < 0.8 * (one.amax(dim=0) - one.amin(dim=0)).mean()
        contrast = other[..., ::2].mean() - other[..., 1::2].mean()
        assert contrast > 0.7 * (one[..., ::2].mean() - one[..., 1::2].mean())  # the strands stay
