"""The passes that the hooks listen to: a prompt encoded, and one denoising step or more.

A pass follows the card: one denoising step at guidance 1.0 from a fixed seed, so the image tokens are
the same pure noise for every prompt, at sigma 1. Nothing but the text differs between two passes. At a later step the
images differ as well, by what the prompts made of the same noise.

The step is written out here instead of calling the pipeline: that call decodes with a VAE, which a probe does not load,
draws new noise for every prompt of a batch, and encodes reference images anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from plantain.probe.hooks import recording
from plantain.probe.reference import Reference, ReferenceSet
from plantain.probe.tokens import ProbeError, Tokens, compare_tokens, tokenize
from plantain.prompts.sets import SIDES, PromptPair
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.runs.info import Conditions
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, TOKEN_SCOPES
from plantain.runs.units import Layout

if TYPE_CHECKING:
    from diffusers import Flux2KleinPipeline


Embed = Callable[[PromptPair], torch.Tensor]
"""Where the embeddings of a pair's two prompts are kept, (2, 512, 7680) for Klein."""


Expected = Callable[[torch.Tensor], None]
"""Takes the images that the model expects at sigma 1, as latents (n_prompts, n_image_tokens, n_channels)."""


_TOKENS = 8192  # of text and image in one pass on an accelerator, unless told otherwise

_MOST = 16  # prompts in one pass


@torch.no_grad()
def encode(pipe: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Encode prompts as ``pipe(prompt)`` does.

    Parameters
    ----------
    pipe
        A Klein pipeline with its text encoder.
    prompts : sequence of str

    Returns
    -------
    tensor (n_prompts, n_text_tokens, n_text_channels)
        On the device and in the precision of the text encoder.
    """
    return pipe.encode_prompt(prompt=list(prompts), max_sequence_length=pipe.tokenizer_max_length)[0]


def pack_embeddings(pipe: Any, pair: PromptPair) -> bytes:
    """Encode a pair's prompts, one after the other, and pack them for a file, to the bit, with the seconds it took."""
    start = time.perf_counter()
    packed = {side: encode(pipe, [getattr(pair, side)]).cpu().contiguous() for side in SIDES}
    packed["seconds"] = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
    return safetensors.torch.save(packed)


def unpack_embeddings(content: bytes | None) -> tuple[torch.Tensor, float] | None:
    """Return what `pack_embeddings` packed: (2, n_text_tokens, n_text_channels), and seconds.

    None for no or a damaged file.
    """
    try:
        packed = safetensors.torch.load(content or b"")
        return torch.cat([packed[side] for side in SIDES]), float(packed["seconds"])
    except (SafetensorError, KeyError, RuntimeError):
        return None


@dataclass(frozen=True)
class Denoised:
    """What one denoising step saw and gave, of every prompt's image tokens.

    Attributes
    ----------
    latents : tensor (n_prompts, n_image_tokens, n_channels)
        The noisy image that went in.
    velocity : tensor (n_prompts, n_image_tokens, n_channels)
        What the transformer gave for it: noise minus image, as it expects them.
    sigma : tensor ()
        How much of `latents` is noise; 1 at the first step.
    """

    latents: torch.Tensor
    velocity: torch.Tensor
    sigma: torch.Tensor

    def expected(self) -> torch.Tensor:
        """Return the image that the model expects here, as latents: where one straight step to sigma 0 would lead.

        Returns
        -------
        float32 tensor (n_prompts, n_image_tokens, n_channels)
        """
        return self.latents.float() - self.sigma.to(self.latents.device) * self.velocity.float()


@torch.no_grad()
def denoise(
    pipe: Any,
    embeds: torch.Tensor,
    size: int,
    seed: int,
    steps: int = 1,
    reference: Reference | None = None,
    attended: torch.Tensor | None = None,
) -> Iterator[Denoised]:
    """Run what the probe needs of ``pipe(prompt, num_inference_steps=steps, guidance_scale=1.0)``.

    Parameters
    ----------
    pipe
        A Klein pipeline with its transformer.
    embeds : tensor (n_prompts, n_text_tokens, n_text_channels)
        From `encode`.
    size : int
        Height and width of the image in pixels, a multiple of 16.
    seed : int
        Seed of the noise, drawn on the CPU so that it is the same on every device; the same for every prompt.
    steps : int
        Denoising steps; the first one sees the noise at sigma 1.
    reference : Reference, optional
        Goes with the image, as by the pipeline's ``image=``.
    attended : bool tensor (n_prompts, n_tokens), optional
        Tokens, of text, image and reference, that attention may look at; all unless given.

    Yields
    ------
    Denoised
        After the pass of every step.
    """
    weight = next(pipe.transformer.parameters())
    embeds = embeds.to(weight.device)
    _, text_ids = pipe.encode_prompt(prompt=None, prompt_embeds=embeds, device=weight.device)
    noise = pipe.prepare_latents(
        batch_size=1,
        num_latents_channels=pipe.transformer.config.in_channels // 4,
        height=size,
        width=size,
        dtype=embeds.dtype,
        device=embeds.device,
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    latents, ids = (part.expand(len(embeds), -1, -1) for part in noise)
    n_image, pictures = latents.shape[1], []
    if reference is not None:
        ids = torch.cat([ids, reference.ids.to(ids).expand(len(embeds), -1, -1)], dim=1)
        pictures = [reference.latents.to(latents.device).expand(len(embeds), -1, -1)]
    mask = None if attended is None else {"attention_mask": attended[:, None, None].to(weight.device)}
    scheduler, times = denoising_schedule(pipe, steps, n_image)
    for time_ in times:
        out = pipe.transformer(
            hidden_states=torch.cat([latents, *pictures], dim=1).to(weight.dtype),
            timestep=time_.expand(len(embeds)).to(latents) / 1000,
            guidance=None,
            encoder_hidden_states=embeds,
            txt_ids=text_ids,
            img_ids=ids,
            joint_attention_kwargs=mask,
            return_dict=False,
        )[0][:, :n_image]
        yield Denoised(latents, out, time_ / 1000)
        latents = scheduler.step(out, time_, latents, return_dict=False)[0].to(latents.dtype)


def denoising_schedule(pipe: Flux2KleinPipeline, steps: int, n_image: int) -> tuple[Any, torch.Tensor]:
    """Return the scheduler and the times of denoising steps, as ``pipe(...)`` sets them.

    Parameters
    ----------
    pipe : Flux2KleinPipeline
    steps, n_image : int
        Denoising steps, and tokens of the image, on which the times depend.

    Returns
    -------
    scheduler
        A new one: the pipeline's own keeps its state.
    tensor (steps,)
        Sigma times 1,000; the first is 1,000.
    """
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu, retrieve_timesteps

    scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    sigmas = None if scheduler.config.get("use_flow_sigmas") else np.linspace(1.0, 1 / steps, steps)
    mu = compute_empirical_mu(image_seq_len=n_image, num_steps=steps)
    times, _ = retrieve_timesteps(scheduler, steps, pipe.transformer.device, sigmas=sigmas, mu=mu)
    scheduler.set_begin_index(0)
    return scheduler, times


def image_tokens(pipe: Any, size: int) -> int:
    """Return how many image tokens a square image of `size` pixels has."""
    return (size // (pipe.vae_scale_factor * 2)) ** 2


def layout_of(pipe: Any) -> Layout:
    """Return the layout of the pipeline's transformer."""
    return Layout.from_config(pipe.transformer.config)


def usual_batch(pipe: Any, size: int) -> int:
    """Return how many prompts go through at once unless told otherwise.

    One on a processor, where more gain nothing; on an accelerator as many as hold about 8,192 tokens.
    """
    if pipe.transformer.device.type == "cpu":
        return 1
    return max(1, min(_MOST, _TOKENS // (pipe.tokenizer_max_length + image_tokens(pipe, size))))


class Passes:
    """Passes of pairs through one pipeline.

    Parameters
    ----------
    pipe
        A Klein pipeline.
    conditions : Conditions
    batch : int, optional
        Prompts that go through at once; `usual_batch` unless given. A batch for which the device has too little
        memory is halved, and stays so.
    embed : callable, optional
        Returns a pair's embeddings that were made before; the pipeline's text encoder makes them unless given.
    references : ReferenceSet, optional
        Every pair's reference image. With images no more than one pair goes through at once: they may differ in
        size.
    expected : callable, optional
        Is given what the model expects at the first seed's first step, which is at sigma 1: costs no pass.
    """

    def __init__(
        self,
        pipe: Any,
        conditions: Conditions,
        batch: int | None = None,
        embed: Embed | None = None,
        references: ReferenceSet | None = None,
        expected: Expected | None = None,
    ) -> None:
        self._pipe, self._conditions = pipe, conditions
        self._layout, self._n_image = layout_of(pipe), image_tokens(pipe, conditions.size)
        self._embed, self._references, self._expected = embed, references, expected
        self.batch = batch or usual_batch(pipe, conditions.size)

    @property
    def pairs_at_once(self) -> int:
        """Pairs that make a batch, at least one."""
        return 1 if self._references else max(1, self.batch // len(SIDES))

    def capture(self, pairs: Sequence[PromptPair]) -> list[PairCapture]:
        """Run both prompts of every pair and keep the sums of squares.

        Parameters
        ----------
        pairs : sequence of PromptPair

        Returns
        -------
        list of PairCapture
            On the CPU, as numpy arrays.

        Raises
        ------
        PromptError
            A prompt cannot be taken as it is.
        ProbeError
            An activation is NaN or infinite, the model is no Flux2 transformer, or one prompt alone is too much for
            the device's memory.
        """
        if self._references and len(pairs) > 1:
            return [capture for pair in pairs for capture in self.capture([pair])]
        prompts = [getattr(pair, side) for pair in pairs for side in SIDES]
        tokens = [tokenize(self._pipe.tokenizer, prompt, self._pipe.tokenizer_max_length) for prompt in prompts]
        kept = torch.cat([self._embed(pair) for pair in pairs]) if self._embed else None
        reference = self._references.by_pair[pairs[0].id] if self._references else None
        sums: list[_Measures] = []
        while len(sums) < len(prompts):
            part = slice(len(sums), len(sums) + self.batch)
            try:
                sums += self._run(prompts[part], tokens[part], None if kept is None else kept[part], reference)
            except torch.OutOfMemoryError as error:
                if self.batch == 1:
                    what = f"the device has too little memory at {self._conditions.size} px; choose a smaller image."
                    raise ProbeError(what) from error
                self.batch //= 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()  # what the failed batch left in pieces
        n, n_reference = len(SIDES), reference.n_tokens if reference else 0
        return [self._join(tokens[i : i + n], sums[i : i + n], n_reference) for i in range(0, len(prompts), n)]

    def _run(
        self, prompts: list[str], tokens: list[Tokens], embeds: torch.Tensor | None, reference: Reference | None
    ) -> list[_Measures]:
        """Return every prompt's repeated measures."""
        c, texts = self._conditions, [t.segments for t in tokens]
        embeds = encode(self._pipe, prompts) if embeds is None else embeds
        n_reference = reference.n_tokens if reference else 0
        attended = _without_padding(tokens, self._n_image + n_reference) if c.mask_padding else None
        measures, first = [], None
        with recording(self._pipe.transformer, texts, self._n_image, n_reference) as recorder:
            for seed in c.seeds:
                for step in denoise(self._pipe, embeds, c.size, seed, c.steps, reference, attended):
                    measures.append(recorder.collect(self._layout, prompts))
                    first = first or step
        if self._expected:
            self._expected(first.expected())
        return [list(own) for own in zip(*measures, strict=True)]

    def _join(self, tokens: list[Tokens], sides: list[_Measures], n_reference: int) -> PairCapture:
        """Put the two sides of a pair together, measure by measure."""
        pictures = {"image": self._n_image, "reference": n_reference}
        scopes = TOKEN_SCOPES if n_reference else PLAIN_SCOPES
        counts = np.array([[pictures[s] if s in pictures else t.count(s) for s in scopes] for t in tokens])[:, None]
        repeats = []
        for measure in zip(*sides, strict=True):
            streams = {stream: np.stack([own[stream] for own in measure])[:, None] for stream in STREAM_SCOPES}
            sums = SumsOfSquares(streams, counts)  # counts: (2, 1, n_scopes)
            # Masked padding still looks at the other tokens, but nothing looks at it: it is left out.
            repeats.append(sums.without("padding") if self._conditions.mask_padding else sums)
        return PairCapture.of(repeats, *compare_tokens(*tokens))


_Measures = list[dict[str, np.ndarray]]
"""Of one prompt: a measure a seed and step, each stream -> float32 (n_scopes, n_slices)."""


def _without_padding(tokens: list[Tokens], n_pictures: int) -> torch.Tensor:
    """Return which tokens attention may look at, bool (n_prompts, n_tokens)."""
    attended = torch.ones((len(tokens), len(tokens[0].ids) + n_pictures), dtype=torch.bool)
    for row, own in zip(attended, tokens, strict=True):
        row[len(own.ids) - own.count("padding") : len(own.ids)] = False  # padding ends the text
    return attended
