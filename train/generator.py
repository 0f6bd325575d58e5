"""Train the generator.

python -m train.generator --config train/configs/cpu.yaml --out runs/cpu [--minutes 20] [--resume]
accelerate launch -m train.generator ...    # many GPUs or machines: each process takes its share of every batch
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.classifier import chip
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.shade import soften_ageing
from train.archives import is_sharded
from train.attributes import AGE, find_attribute
from train.augment import jitter_view, lose_resolution, relight, retouch
from train.averaging import update_average
from train.batches import Batch, age_balance, assemble_batch, draw_batch, draw_targets
from train.config import load_config, require_at_least_one
from train.coring import core_change
from train.data import Faces, held_out, move_images, open_faces, to_unit
from train.deadline import Deadline
from train.discriminators import build_discriminator
from train.feature_discriminator import FeatureDiscriminator
from train.history import History, LabelledImages, halve
from train.losses import (
    compute_age_error,
    compute_brightening_loss,
    compute_chroma_loss,
    compute_class_loss,
    compute_darkening_loss,
    compute_discolouring_loss,
    compute_discriminator_gan_loss,
    compute_distillation_loss,
    compute_gender_loss,
    compute_generator_gan_loss,
    compute_patchiness_loss,
    compute_r1_penalty,
    compute_recon_loss,
    compute_residual_loss,
    compute_smoothness_loss,
    fade_colour_change,
    hide_background,
    show_on_face,
    take_lightness,
)
from train.memory import keep_freed_memory
from train.misplace import draw_strokes, misplace_edits
from train.options import failing_in_a_sentence, training_parser
from train.parallel import (
    Share,
    average_gradients,
    average_values,
    join_processes,
    main_process_values,
    own_share,
    require_same_state,
    share_batch_statistics,
)
from train.recorded import RecordedClassifier, RecordedEdits
from train.runlog import RunLog
from train.samples import choose_samples
from train.skin_maps import load_skin_maps
from train.start import load_frozen, load_start
from train.state import find_state, load_state, save_state, state_to_resume
from train.teachers import teach, teach_mean

YOUNGEST, OLDEST = AGE.targets[0], AGE.targets[-1]  # Q of the paper


@dataclass(frozen=True)
class LossWeights:
    """The lambdas. The defaults are the paper's; what the paper does not have is off."""

    recon: float = 10.0  # the face at its own age comes back
    age: float = 0.1  # V's cross-entropy
    age_robust: float = 0.0  # the same from a V trained against adversarial perturbations
    gan: float = 1.0  # LSGAN
    gender: float = 0.0  # stays, says each V that counts for the age, and `gender_classifier`
    glasses: float = 0.0  # by `glasses_classifier`
    residual: float = 0.0  # L1 of the change
    outside: float = 1.0  # how many times dearer a change of the background is than one of the face
    chroma: float = 0.0  # square of the change of colour
    darkening: float = 0.0  # square of what darkens by more than `darkening_older` or `darkening_younger`
    brightening: float = 0.0  # square of what brightens by more than 0.2, or `brightening_younger`
    discolouring: float = 0.0  # square of what a colour difference changes by more than a tan
    smoothness: float = 0.0  # total variation of the change
    patchiness: float = 0.0  # how much of the face changes a little in patches
    distillation: float = 0.0  # from `teachers`


@dataclass(frozen=True)
class Phase:
    """A stretch of training at one resolution."""

    images: int  # images seen in this phase
    resolution: int
    batch: int = 4  # of each process
    lr: float = 1e-4  # of Adam
    weights: LossWeights = field(default_factory=LossWeights)
    discriminator_only: bool = False  # a trained generator waits until a new D has learnt

    def __post_init__(self):
        if self.discriminator_only and self.weights.gan == 0:
            raise ValueError("discriminator_only: without weights.gan there is no discriminator to train")


@dataclass
class GeneratorTraining:
    """Everything that a run of this file depends on."""

    data: tuple[str, ...] = ()  # archives of FFHQ-aligned faces, or tar shards of them (train/stream.py)
    sources: tuple[int, ...] = ()  # a number for each archive, the same for parts of one data set: `balance_traits`
    # then holds the share of each data set at every age too, so that none tells D the age; empty: all are one
    shuffle_buffer: int = 5000  # of shards: encoded faces that each process keeps to draw from
    loader_workers: int = 4  # of shards: processes that read and decode for each process
    classifier: str = "checkpoints/classifier"  # V
    robust_classifier: str = ""  # empty: none
    gender_classifier: str = ""  # one more V, of which only the gender counts; empty: none
    glasses_classifier: str = ""  # V of the attribute glasses; empty: none
    label_by_classifier: bool = True  # a0 by V, as in the paper, instead of by the archive's labels
    attribute: str = "age"  # what to edit; see train/attributes.py
    discriminator: str = "single"  # the paper's, or "projection", "pair", "features": see train/discriminators.py
    start: str = ""  # generator checkpoint to start from; empty: random weights
    start_discriminator: str = ""  # and that of a "features" discriminator
    teachers: tuple[str, ...] = ()  # generator checkpoints; their mean edit is followed, see weights.distillation
    taught_older: float = 1.0  # times their change that is followed where a face grows older
    taught_younger: float = 1.0  # and where it grows younger
    taught_coring: float = 0.0  # detail of a lesson that is weaker than this (of the range 2) goes, and of folds and
    # shade what is beyond them; each lesson is then the mean of all teachers instead of one's: 0.012; 0: off
    model: GeneratorConfig = field(default_factory=GeneratorConfig)
    phases: tuple[Phase, ...] = ()
    darkening_older: float = 0.2  # by how much a pixel of a face that grows older may darken, of the range 2
    darkening_younger: float = 0.2  # and of one that grows younger: its wrinkles go, and no dark line should come
    brightening_younger: float = 0.2  # and by how much a pixel of such a face may brighten; of the others 0.2
    darkening_light: float = 0.0  # where a photo is darker than this (of 0..1), those count for more, in proportion
    younger: float = 1.0  # how much V's losses count where a face grows younger
    min_gap: int = 25  # a*: the smallest |a1 - a0| in years
    label_width: float = 0.0  # soft target ages, in years; 0 is one-hot
    label_l1: float = 0.0  # weight of a year of V's error beside its cross-entropy
    colour_shown: float = 1.0  # how much of the change of colour each V sees; at 0 it can ask for lightness alone
    face_only: bool = False  # V and D see the edit on the face alone, as the app pastes it: neither asks for more
    skin_maps: str = ""  # file of train/skin_maps.py: what of each face is skin; empty: the mean face's oval
    beta1: float = 0.9  # of Adam, for the generator and D; the paper names none
    beta2: float = 0.999
    modulation_lr: float = 1.0  # learning rate of the age modulation, as a multiple of the generator's
    modulation_init: float = 0.0  # standard deviation of its initial weights; 0 keeps PyTorch's
    discriminator_lr: float = 1.0  # learning rate of D, as a multiple of the generator's (two time scales)
    history: int = 0  # edits of earlier steps to show D beside each step's own, against as many more faces; 0: none
    misplaced: bool = False  # with a history: half of its faces are real ones with the fine detail of others' edits
    strokes: float = 0.0  # share of those that have drawn strokes instead, which D forgets when no edit has them
    skin_only: bool = False  # D sees the face alone, of real ones too: no hair tells it the age
    r1: float = 0.0  # coefficient of the R1 penalty on D
    r1_every: int = 16  # applied (times this) every so many steps
    ema: float = 0.999  # decay of the averaged generator, a step
    view_jitter: float = 0.0  # strength of the random shift, scale and turn of the view that each V gets
    balance_traits: bool = False  # gender and glasses equally frequent at every age, see `age_balance`
    retouch: float = 0.0  # share of the faces that lose fine texture first
    relight: float = 0.0  # share of the faces that are lit anew: darker, brighter, or from one side
    low_resolution: float = 0.0  # share of the faces that lose resolution, as small faces of large photos have
    bf16: bool = True  # convolutions in bfloat16; off: float32, for processors without it
    save_every: int = 250  # steps
    sample_every: int = 500  # steps
    log_every: int = 50  # steps
    seed: int = 0  # of weights, draws and augmentation

    @property
    def need_glasses(self) -> bool:
        """Whether the data has to say who wears glasses."""
        held = bool(self.glasses_classifier) and any(phase.weights.glasses > 0 for phase in self.phases)
        return self.balance_traits or held


class Networks(NamedTuple):
    """Everything with weights that one step touches."""

    generator: Generator
    edits: RecordedEdits  # of the generator
    average: Generator  # exponential moving average of the generator: what is shipped
    discriminator: nn.Module  # of train/discriminators.py
    classifier: RecordedClassifier
    robust: RecordedClassifier | None
    gender: RecordedClassifier | None
    glasses: RecordedClassifier | None
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    teachers: tuple[Generator, ...] = ()


def build_networks(config: GeneratorTraining, device: torch.device) -> Networks:
    """Fresh generator, discriminator and optimizers; frozen classifiers from their checkpoints."""
    if config.discriminator == "pair" and own_share().count > 1:
        raise ValueError("discriminator: 'pair' needs a single process: what each of the two sees differs between many")
    if bool(config.teachers) != any(phase.weights.distillation > 0 for phase in config.phases):
        raise ValueError("teachers: need weights.distillation, 6000 for example, and it needs them; set both or none")
    if not config.robust_classifier and any(phase.weights.age_robust > 0 for phase in config.phases):
        raise ValueError("weights.age_robust: needs robust_classifier, checkpoints/classifier-robust for example")
    if config.sources and (len(config.sources) != len(config.data) or not config.balance_traits):
        raise ValueError("sources: a number for each archive of data, for balance_traits, which has to be true")
    if config.gender_classifier and not any(phase.weights.gender > 0 for phase in config.phases):
        raise ValueError("gender_classifier: counts by weights.gender, 0.5 for example; without it leave it out")
    if not config.glasses_classifier and any(phase.weights.glasses > 0 for phase in config.phases):
        raise ValueError("weights.glasses: needs glasses_classifier, which classifier-glasses.yaml makes")
    if config.discriminator == "features" and any(phase.resolution % 32 for phase in config.phases):
        raise ValueError("discriminator: 'features' needs resolutions that are multiples of 32")
    require_at_least_one(config, "save_every", "sample_every", "log_every", "r1_every")
    if config.misplaced and config.history == 0:
        raise ValueError("misplaced: takes half of D's history; set history too, to 200 for example")
    if config.strokes > 0 and not config.misplaced:
        raise ValueError("strokes: take the place of misplaced detail; set misplaced: true too")
    torch.manual_seed(config.seed)
    if config.start:
        generator = load_start(Generator, config.start, config.model, ("resolution", "shading"))
    else:
        generator = Generator(config.model)
        if config.modulation_init > 0:
            nn.init.normal_(generator.modulation.linear.weight, std=config.modulation_init)
    discriminator = share_batch_statistics(build_discriminator(config.discriminator, config.start_discriminator))
    for network in (generator, discriminator):
        network.to(device=device, memory_format=torch.channels_last).train()
    modulation = list(generator.modulation.parameters())
    others = [*generator.encoder.parameters(), *generator.decoder.parameters()]
    groups = [{"params": others, "scale": 1.0}, {"params": modulation, "scale": config.modulation_lr}]
    betas = (config.beta1, config.beta2)

    teachers = [load_checkpoint(Generator, GeneratorConfig, folder).requires_grad_(False) for folder in config.teachers]

    def asked(folder: str) -> RecordedClassifier:
        return RecordedClassifier(load_frozen(folder, device), config.bf16)

    gender = asked(config.gender_classifier) if config.gender_classifier else None
    if gender is not None and not gender.config.gender:
        raise ValueError(f"gender_classifier: the one in {config.gender_classifier} does not tell the gender")

    return Networks(
        generator,
        RecordedEdits(generator, torch.bfloat16 if config.bf16 else torch.float32),
        copy.deepcopy(generator).requires_grad_(False).eval(),
        discriminator,
        asked(config.classifier),
        asked(config.robust_classifier) if config.robust_classifier else None,
        gender,
        asked(config.glasses_classifier) if config.glasses_classifier else None,
        torch.optim.Adam(groups, betas=betas),
        torch.optim.Adam([{"params": discriminator.parameters(), "scale": config.discriminator_lr}], betas=betas),
        tuple(teacher.to(device=device, memory_format=torch.channels_last) for teacher in teachers),
    )


def update_discriminator(nets: Networks, fake: Tensor, batch: Batch, r1: float, bf16: bool = True) -> dict[str, Tensor]:
    """One D step on made and real faces, with R1 where `r1` is above zero."""
    real, score_real = batch.real, partial(nets.discriminator, ages=batch.real_ages, traits=batch.real_traits)
    with cached():  # spectral norms once, for both
        with torch.autocast(real.device.type, torch.bfloat16, enabled=bf16):
            real_scores, fake_scores = score_real(real), nets.discriminator(fake, batch.targets, batch.traits)
        losses = {"d_gan": compute_discriminator_gan_loss(real_scores, fake_scores)}
        if r1 > 0:
            losses["d_r1"] = r1 * compute_r1_penalty(score_real, real)
    nets.discriminator_optimizer.zero_grad(set_to_none=True)
    sum(losses.values()).backward()
    average_gradients(nets.discriminator_optimizer)
    nets.discriminator_optimizer.step()
    return losses


def update_from_edits(
    nets: Networks,
    seen: Tensor,
    batch: Batch,
    config: GeneratorTraining,
    step: int,
    history: History | None,
    random: torch.Generator,
) -> dict[str, Tensor]:
    """D's step on this step's edits, and its second one where there is a history."""
    if config.skin_only:
        seen, images = (hide_background(x, batch.background) for x in (seen, batch.images))
        batch = batch._replace(images=images, real=hide_background(batch.real, batch.real_background))
    r1 = config.r1 * config.r1_every if step % config.r1_every == 0 else 0.0
    losses = update_discriminator(nets, seen, batch, r1, config.bf16)
    if history is not None:
        fakes = history.exchange(LabelledImages(seen, batch.targets, batch.traits), random)
        faces = LabelledImages(batch.images, batch.ages, batch.traits)
        if config.misplaced:
            others = LabelledImages(batch.real, batch.real_ages, batch.real_traits)
            misplaced = misplace_edits(seen, batch.images, batch.real)
            if config.strokes > 0:
                chosen = batch.share.of(torch.rand(len(seen) * batch.share.count, 1, 1, 1, generator=random))
                chosen = (chosen < config.strokes).to(seen.device, non_blocking=True)
                misplaced = torch.where(chosen, draw_strokes(batch.real, random, batch.share), misplaced)
            if config.skin_only:  # a stroke beside the face would give it away
                misplaced = show_on_face(misplaced, batch.real, batch.real_background)
            drawn = others._replace(images=misplaced)
            fakes, faces = halve(fakes, drawn), halve(faces, others)
        again = batch._replace(
            targets=fakes.ages, traits=fakes.traits, real=faces.images, real_ages=faces.ages, real_traits=faces.traits
        )
        losses["d_history"] = update_discriminator(nets, fakes.images, again, 0.0, config.bf16)["d_gan"]
    return losses


def compute_generator_losses(
    nets: Networks,
    batch: Batch,
    edited: Tensor,
    seen: Tensor,
    reconstruction: Tensor,
    weights: LossWeights,
    config,
    random,
) -> dict[str, Tensor]:
    """Every weighted term of the generator's loss but the teachers', by name. Of weight zero only `recon` is computed.

    `seen` is what V and D see of the edit, V with no more of the change of colour than `config.colour_shown`.
    """
    shading = nets.generator.config.shading
    shown = fade_colour_change(seen, batch.images, config.colour_shown, shading) if config.colour_shown < 1 else seen

    def read(reader: RecordedClassifier) -> tuple[Tensor, Tensor | None]:
        view = chip(shown, reader.config.resolution)
        if config.view_jitter > 0:
            view = jitter_view(view, config.view_jitter, random, batch.share)
        return reader(view)

    grows_younger = batch.targets < batch.ages
    share = torch.where(grows_younger, config.younger, 1.0)
    losses = {"recon": weights.recon * compute_recon_loss(reconstruction, batch.images)}
    if weights.gan > 0:
        judged = hide_background(seen, batch.background) if config.skin_only else seen
        scores = nets.discriminator(judged, batch.targets, batch.traits)
        losses["gan"] = weights.gan * compute_generator_gan_loss(scores)
    readers = [("age", nets.classifier, weights.age), ("age_robust", nets.robust, weights.age_robust)]
    for name, reader, weight in readers:
        if reader is None or weight == 0:
            continue
        age_logits, gender_logits = read(reader)
        losses[name] = weight * compute_class_loss(age_logits, batch.targets, config.label_width, share)
        if config.label_l1 > 0:
            losses[f"{name}_l1"] = weight * config.label_l1 * compute_age_error(age_logits, batch.targets, share)
        if weights.gender > 0 and gender_logits is not None:
            losses[f"{name}_gender"] = weights.gender * compute_gender_loss(gender_logits, batch.female)
    if nets.gender is not None and weights.gender > 0:
        losses["gender"] = weights.gender * compute_gender_loss(read(nets.gender)[1], batch.female)
    if nets.glasses is not None and weights.glasses > 0:
        glasses_logits, _ = read(nets.glasses)
        losses["glasses"] = weights.glasses * compute_class_loss(glasses_logits, 100 * batch.glasses)
    if weights.residual > 0:
        losses["residual"] = weights.residual * compute_residual_loss(
            edited, batch.images, weights.outside, batch.background
        )
    if weights.smoothness > 0:
        losses["smoothness"] = weights.smoothness * compute_smoothness_loss(edited, batch.images)
    if weights.patchiness > 0:
        losses["patchiness"] = weights.patchiness * compute_patchiness_loss(edited, batch.images, batch.background)
    if weights.darkening > 0:
        free = torch.where(grows_younger, config.darkening_younger, config.darkening_older)
        losses["darkening"] = weights.darkening * compute_darkening_loss(
            edited, batch.images, free, config.darkening_light
        )
    if weights.brightening > 0:
        free = torch.where(grows_younger, config.brightening_younger, 0.2)
        losses["brightening"] = weights.brightening * compute_brightening_loss(edited, batch.images, free)
    if weights.chroma > 0 or weights.discolouring > 0:
        uncoloured = take_lightness(edited, batch.images, shading)
        if weights.chroma > 0:
            losses["chroma"] = weights.chroma * compute_chroma_loss(edited, uncoloured)
        if weights.discolouring > 0:
            losses["discolouring"] = weights.discolouring * compute_discolouring_loss(edited, uncoloured)
    return losses


def train_step(
    nets: Networks,
    batch: Batch,
    phase: Phase,
    config: GeneratorTraining,
    step: int,
    history: History | None = None,  # D's second step is on edits out of it
) -> dict[str, Tensor]:
    """D's step or two, one of G, one of the average; the losses by name, on the device: reading one waits for it."""
    device = batch.images.device.type
    random = torch.Generator().manual_seed(config.seed * 1_000_003 + step + 500_009)
    if config.retouch > 0:  # the real ones too, here and below: D must not take it for an edit
        images, real = (retouch(x, config.retouch, random, batch.share) for x in (batch.images, batch.real))
        batch = batch._replace(images=images, real=real)
    taught = None
    if phase.weights.distillation > 0 and not phase.discriminator_only:
        make = teach_mean if config.taught_coring > 0 else teach
        taught = make(nets.teachers, batch.images, batch.targets, random, nets.edits.dtype, batch.share)
        grows_younger = (batch.targets < batch.ages)[:, None, None, None]
        change = torch.where(grows_younger, config.taught_younger, config.taught_older) * (taught - batch.images)
        if config.taught_coring > 0:
            change = core_change(change, config.taught_coring)
            change = torch.where(grows_younger, change, soften_ageing(change, batch.images))
        taught = batch.images + change
    for chance, spoil in ((config.relight, relight), (config.low_resolution, lose_resolution)):
        if chance > 0:
            before = random.get_state()
            images, real = (spoil(x, chance, random, batch.share) for x in (batch.images, batch.real))
            batch = batch._replace(images=images, real=real)
            if taught is not None:  # as the face: the student learns to edit the spoiled one like the plain one
                taught = spoil(taught, chance, torch.Generator().set_state(before), batch.share)
    with torch.set_grad_enabled(not phase.discriminator_only):
        reconstruction, edited = nets.edits(batch.images, batch.ages, batch.targets)
    seen = show_on_face(edited, batch.images, batch.background) if config.face_only else edited
    losses: dict[str, Tensor] = {}
    if phase.weights.gan > 0:
        losses |= update_from_edits(nets, seen.detach(), batch, config, step, history, random)
    if phase.discriminator_only:
        return {name: value.detach() for name, value in losses.items()}
    nets.discriminator.requires_grad_(False)
    with torch.autocast(device, torch.bfloat16, enabled=config.bf16):
        terms = compute_generator_losses(nets, batch, edited, seen, reconstruction, phase.weights, config, random)
    if taught is not None:
        loss = compute_distillation_loss(edited, taught, batch.background)
        terms["distillation"] = phase.weights.distillation * loss
    nets.generator_optimizer.zero_grad(set_to_none=True)
    sum(terms.values()).backward()
    average_gradients(nets.generator_optimizer)
    nets.generator_optimizer.step()
    nets.discriminator.requires_grad_(True)
    update_average(nets.average, nets.generator, min(config.ema, (step + 1) / (step + 10)))
    return {name: value.detach() for name, value in (losses | terms).items()}


def find_phase(phases: tuple[Phase, ...], images: int) -> Phase | None:
    """The phase that the next image belongs to; None when all are over."""
    for phase in phases:
        if images < phase.images:
            return phase
        images -= phase.images
    return None


def load_phase_data(config: GeneratorTraining, nets: Networks, phase: Phase, cache: str) -> tuple[Faces, Faces]:
    """Training faces of ages in Q, their images on the generator's device, and held-out faces."""
    attribute = find_attribute(config.attribute)
    lowest, highest = attribute.targets[0], attribute.targets[-1]
    with PartialState().local_main_process_first():  # one process a machine decodes, the others read its cache
        stored = open_faces(config.data, phase.resolution, False, cache, attribute, need_glasses=config.need_glasses)
    device = next(nets.generator.parameters()).device
    faces = stored.labels
    if config.label_by_classifier:
        parts = (part for images in stored.archives for part in images.split(64))
        ages = torch.cat([nets.classifier.predict(to_unit(part.to(device))) for part in parts])
        faces = replace(faces, ages=main_process_values(ages).cpu())
        stored = replace(stored, labels=faces)
    unseen = held_out(faces.names)
    if not unseen.any():
        few = f"{', '.join(config.data)}: none of its {len(faces)} faces falls into the twentieth that is held out"
        raise ValueError(f"{few}; please add faces")
    rounded = faces.ages.round()
    wanted = ~unseen & (rounded >= lowest) & (rounded <= highest)
    needed = 2 * phase.batch * own_share().count
    if wanted.sum() < needed:
        few = f"{int(wanted.sum())} faces of {config.attribute} {lowest}..{highest} in {', '.join(config.data)}"
        raise ValueError(f"{few}, but a step takes {needed}: please add faces, or make batch smaller")
    train = stored.take(wanted)
    # The labels stay here: the next targets are drawn from them without waiting for the device.
    train = replace(move_images(train, device), ages=train.ages.round())
    if config.skin_maps:
        train = replace(train, skin=load_skin_maps(config.skin_maps, train.names).to(device))
    return train, stored.take(unseen)


def open_phase(
    config: GeneratorTraining, nets: Networks, phase: Phase, step: int, cache: str, first: bool = True
) -> tuple[Callable[[int], Batch], Faces]:
    """Step -> this process's share of its batch; and the held-out faces that samples show.

    Args:
        first: whether nothing was read of the data yet: later a broken shard is no reason to stop.
    Raises:
        FileNotFoundError, ValueError: the data are missing, broken or too few, or a setting does not go with them.
    """
    attribute, share = find_attribute(config.attribute), own_share()
    if all(is_sharded(entry) for entry in config.data) and config.data:
        for name in ("skin_maps", "sources"):
            if getattr(config, name):
                raise ValueError(f"{name}: for archives only; for tar shards leave it out")
        from train.stream import FaceStream, load_stream, read_held_out  # webdataset, only where it is needed

        test = read_held_out(config.data, phase.resolution, attribute, config.need_glasses, strict=first)
        seed = f"{config.seed} {share.index} {step}"  # a stream has no memory: a resumed run draws other shards
        buffer = config.shuffle_buffer
        stream = FaceStream(config.data, phase.resolution, attribute, buffer, seed, config.balance_traits)
        device = next(nets.generator.parameters()).device
        batches = load_stream(stream, 2 * phase.batch, config.loader_workers, device)
        draw = partial(receive_batch, batches, nets, config, share)
        return draw, choose_samples(test, attribute=attribute)
    train, test = load_phase_data(config, nets, phase, cache)
    traits = train.traits if config.balance_traits else None
    if traits is not None and config.sources:
        traits = traits + 4 * torch.tensor(config.sources)[train.source]
    weights, samples = age_balance(train.ages, attribute, traits), choose_samples(test, attribute=attribute)
    return (
        lambda step: draw_batch(train, weights, phase.batch, step, config.seed, config.min_gap, attribute, share),
        samples,
    )


def receive_batch(
    batches: Iterator[list[Tensor]], nets: Networks, config: GeneratorTraining, share: Share, step: int
) -> Batch:
    """The next faces of a stream; flips and targets are a function of seed, step and process."""
    images, ages, traits = next(batches)
    attribute, device = find_attribute(config.attribute), next(nets.generator.parameters()).device
    images = images.to(device, non_blocking=True)
    if config.label_by_classifier:
        ages = nets.classifier.predict(to_unit(images)).cpu().clamp(attribute.targets[0], attribute.targets[-1])
    random = torch.Generator().manual_seed((config.seed * 1_000_003 + step) * 10_007 + share.index)
    flip = torch.rand(len(images), generator=random) < 0.5
    ages = ages.float().round()
    targets = draw_targets(ages.chunk(2)[0], config.min_gap, random, attribute)
    return assemble_batch(images, flip, ages, traits, targets, share)


def train_generator(
    config: GeneratorTraining,
    out: Path,
    minutes: float = float("inf"),  # stop, saved, after this wall time
    resume: bool = False,  # go on from the newest state in `out`
    device: str = "cpu",
    cache: str = ".cache",  # folder for decoded data
) -> Path:
    """Train until the phases or the minutes are over, or a signal comes; return the folder of the newest state.

    Under `accelerate launch`, every process calls this; the main one alone writes.

    Raises:
        FileExistsError: `out` holds a run already and `resume` is off.
        FileNotFoundError: it holds none, and `resume` is on; or the processes see different states in it.
    """
    deadline = Deadline(minutes)
    if not config.phases:
        raise ValueError("phases: there is none, so there is nothing to train")
    state = join_processes(device)
    share = own_share()
    nets = build_networks(config, state.device if share.count > 1 else torch.device(device))
    require_same_state(find_state(out))
    newest = state_to_resume(out, resume)
    step, images = load_state(newest, nets) if newest is not None else (0, 0)
    total = sum(phase.images for phase in config.phases)
    log = RunLog(out, images, total, find_attribute(config.attribute).samples) if state.is_main_process else None
    history = History(config.history) if config.history > 0 else None
    phase, newest_losses = None, {}
    with deadline.heeding_signals():
        while (current := find_phase(config.phases, images)) is not None and not deadline.is_over(step):
            if current is not phase:
                first, phase, draw = phase is None, current, None  # the last phase's images go before the next's come
                draw, samples = open_phase(config, nets, phase, step, cache, first)
                newest_losses = {}
                if log and find_state(out) is None:
                    save_state(out, nets, step, images)  # from here on, a kill loses steps only
                for optimizer in (nets.generator_optimizer, nets.discriminator_optimizer):
                    for group in optimizer.param_groups:
                        group["lr"] = phase.lr * group["scale"]
            newest_losses |= train_step(nets, draw(step), phase, config, step, history)  # R1's is not of every step
            step += 1
            images += phase.batch * share.count
            if step % config.log_every == 0:
                values = average_values(newest_losses)
                if log:
                    log.write_losses(values, images)
            if log:
                log.write_progress(images)
            if log and step % config.sample_every == 0:
                log.write_samples(nets.average, nets.classifier, samples, images, config.bf16)
            if log and step % config.save_every == 0:
                save_state(out, nets, step, images)
    if log:
        log.close()
        save_state(out, nets, step, images)
        save_checkpoint(nets.average, out / "generator", half=False)
        if isinstance(nets.discriminator, FeatureDiscriminator):
            save_checkpoint(nets.discriminator, out / "discriminator", half=True)
    state.wait_for_everyone()
    return out / f"state-{step:08d}"


def main() -> None:
    """Command line."""
    parser = training_parser(__doc__, GeneratorTraining, "folder for states, samples and the generator")
    parser.add_argument("--data", nargs="+", help="archives, instead of the config's")
    arguments = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # the shapes of a phase are few
    keep_freed_memory(arguments.device)
    with failing_in_a_sentence("train.generator"):
        config = load_config(GeneratorTraining, arguments.config)
        if arguments.data:
            config.data = tuple(arguments.data)
        folder = train_generator(
            config, arguments.out, arguments.minutes, arguments.resume, arguments.device, arguments.cache
        )
    if PartialState().is_main_process:
        print(f"saved {folder} and {arguments.out / 'generator'}")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main()
