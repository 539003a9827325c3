"""The passes that the hooks listen to.

A pass follows the card: one denoising step at guidance 1.0 from a fixed seed, so the image tokens are
the same pure noise for every prompt, at sigma 1. Nothing but the text differs between two passes. At a later step the
images differ as well, by what the prompts made of the same noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from plantain.models.drawing import text_tokens
from plantain.probe.denoising import Noise, denoise, encode, image_tokens, text_places, velocity
from plantain.probe.hooks import Recorded, recording
from plantain.probe.pictures.generate import shared_text
from plantain.probe.reference import Reference, ReferenceSet
from plantain.probe.tokens import ProbeError, Segment, Tokens, compare_tokens, tokenize
from plantain.probe.trajectory import neutral_latents
from plantain.prompts.sets import SIDES, PromptPair
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.runs.directions import LATER, PARTS, Means, parts_of, scopes_of
from plantain.runs.info import Conditions
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, TOKEN_SCOPES, recorded_scopes
from plantain.runs.units import Layout

Embed = Callable[[PromptPair], torch.Tensor]
"""Where the embeddings of a pair's two prompts are kept, (2, 512, 7680) for Klein."""


Expected = Callable[[torch.Tensor], None]
"""Takes the images that the model expects at sigma 1, as latents (n_prompts, n_image_tokens, n_channels)."""


_TOKENS = 8192  # of text and image in one pass on an accelerator, unless told otherwise

_MOST = 16  # prompts in one pass


def pack_embeddings(pipe: Any, pair: PromptPair, mask_padding: bool = False, neutral: bool = False) -> bytes:
    """Encode a pair's prompts, one after the other, and pack them for a file, to the bit, with the seconds it took.

    Where padding is masked none is encoded; the shorter prompt is filled up with zeros. The neutral prompt, of the
    words that both have, is whole.
    """
    start, prompts = time.perf_counter(), [getattr(pair, side) for side in SIDES]
    lengths = [longest([tokenize(pipe.tokenizer, p, text_tokens(pipe))]) if mask_padding else None for p in prompts]
    embeds = [encode(pipe, [prompt], n).cpu()[0] for prompt, n in zip(prompts, lengths, strict=True)]
    packed = dict(zip(SIDES, of_length(embeds, max(map(len, embeds))).split(1), strict=True))
    if neutral:
        packed["neutral"] = encode(pipe, [shared_text(pair)]).cpu()
    packed["seconds"] = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
    return safetensors.torch.save(packed)


def unpack_embeddings(content: bytes | None) -> tuple[torch.Tensor, float] | None:
    """Return what `pack_embeddings` packed: (2 or 3, n_text_tokens, n_text_channels), and seconds.

    None for no or a damaged file.
    """
    try:
        packed = safetensors.torch.load(content or b"")
        names = [*SIDES, *(["neutral"] if "neutral" in packed else [])]
        rows = [packed[name][0] for name in names]
        return of_length(rows, max(map(len, rows))), float(packed["seconds"])
    except (SafetensorError, KeyError, RuntimeError):
        return None


def layout_of(pipe: Any) -> Layout:
    """Return the layout of the pipeline's transformer."""
    return Layout.from_config(pipe.transformer.config)


def usual_batch(pipe: Any, size: int) -> int:
    """Return how many prompts go through at once unless told otherwise.

    One on a processor, where more gain nothing; on an accelerator as many as hold about 8,192 tokens.
    """
    if pipe.transformer.device.type == "cpu":
        return 1
    return max(1, min(_MOST, _TOKENS // (text_tokens(pipe) + image_tokens(pipe, size))))


def in_batches(n: int, batch: int, size: int, run: Callable[[slice], None]) -> int:
    """Run rows batch by batch; one for which the device has too little memory is halved, and run again.

    Parameters
    ----------
    n, batch : int
        Rows in all, and at once.
    size : int
        Height and width of the image in pixels, for the message.
    run : callable
        Runs some rows; where it raises `torch.OutOfMemoryError` it has kept nothing.

    Returns
    -------
    int
        The batch that fitted.

    Raises
    ------
    ProbeError
        One row alone is too much for the device's memory.
    """
    done = 0
    while done < n:
        try:
            run(slice(done, min(done + batch, n)))
        except torch.OutOfMemoryError as error:
            if batch == 1:
                what = f"the device has too little memory at {size} px; choose a smaller image."
                raise ProbeError(what) from error
            batch //= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # what the failed batch left in pieces
        else:
            done += batch
    return batch


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
    directions : {"off", "image", "heads", "all"}
        Of which mean vectors are kept, as in `runs.directions.LEVELS`: costs no pass.
    times : tuple of float
        1, and later times at which the heads' mean vectors over image tokens are kept as well, both sides at the same
        picture (`trajectory`): 28 passes a pair and two for each time. Then `embed` returns the embeddings of the
        neutral prompt too, as the third.
    """

    def __init__(
        self,
        pipe: Any,
        conditions: Conditions,
        batch: int | None = None,
        embed: Embed | None = None,
        references: ReferenceSet | None = None,
        expected: Expected | None = None,
        directions: str = "off",
        times: tuple[float, ...] = (1.0,),
    ) -> None:
        self._times = times[1:]
        self._pipe, self._conditions, self._directions = pipe, conditions, directions
        self._layout, self._n_image = layout_of(pipe), image_tokens(pipe, conditions.size)
        self._embed, self._references, self._expected = embed, references, expected
        self.batch = batch or usual_batch(pipe, conditions.size)

    @property
    def pairs_at_once(self) -> int:
        """Pairs that make a batch, at least one."""
        return 1 if self._references else max(1, self.batch // len(SIDES))

    def capture(self, pairs: Sequence[PromptPair], later: bool = True) -> list[PairCapture]:
        """Run both prompts of every pair and keep the sums of squares, and the mean vectors that are wanted.

        Parameters
        ----------
        pairs : sequence of PromptPair
        later : bool
            Keep those of the later times too, where there are any.

        Returns
        -------
        list of PairCapture
            On the CPU, as numpy arrays.

        Raises
        ------
        PromptError
            A prompt cannot be taken as it is.
        ProbeError
            An activation is NaN or infinite, a mean vector does not fit into 16 bits, the model is no Flux2
            transformer, or one prompt alone is too much for the device's memory.
        """
        if self._references and len(pairs) > 1:
            return [capture for pair in pairs for capture in self.capture([pair])]
        prompts = [getattr(pair, side) for pair in pairs for side in SIDES]
        tokens = [tokenize(self._pipe.tokenizer, prompt, text_tokens(self._pipe)) for prompt in prompts]
        rows = [self._embed(pair) for pair in pairs] if self._embed else []
        kept = [embeds for own in rows for embeds in own[: len(SIDES)]] or None
        reference = self._references.by_pair[pairs[0].id] if self._references else None
        sums: list[_Measures] = []

        def run(part: slice) -> None:
            sums.extend(self._run(prompts[part], tokens[part], None if kept is None else kept[part], reference))

        self.batch = in_batches(len(prompts), self.batch, self._conditions.size, run)
        n, n_reference = len(SIDES), reference.n_tokens if reference else 0
        found = [self._join(tokens[i : i + n], sums[i : i + n], n_reference) for i in range(0, len(prompts), n)]
        if not (later and self._times):
            return found
        neutral = [own[len(SIDES)] for own in rows] or None
        return [
            replace(capture, means=replace(capture.means, later=own, times=self._times))
            for capture, own in zip(found, self._later(pairs, prompts, tokens, kept, neutral), strict=True)
        ]

    def _later(
        self,
        pairs: Sequence[PromptPair],
        prompts: list[str],
        tokens: list[Tokens],
        kept: list[torch.Tensor] | None,
        neutral: list[torch.Tensor] | None,
    ) -> list[dict[str, np.ndarray]]:
        """Return every pair's mean vectors over image tokens at the later times, both sides at the same latents."""
        c, found, embeds = self._conditions, [], self._embeds(prompts, tokens, kept)
        between = encode(self._pipe, [shared_text(p) for p in pairs]) if neutral is None else torch.stack(neutral)
        for sigma, noise in neutral_latents(self._pipe, between, c.size, c.seeds[0], self._times, self.batch):
            starts = range(0, len(prompts), self.batch)
            found.append([own for i in starts for own in self._look(prompts, tokens, embeds, noise, sigma, i)])
        return [_at_image([at[i : i + len(SIDES)] for at in found]) for i in range(0, len(prompts), len(SIDES))]

    def _embeds(self, prompts: list[str], tokens: list[Tokens], kept: list[torch.Tensor] | None) -> torch.Tensor:
        """Return prompts' embeddings, those that are kept or new ones: without padding where it is masked."""
        n_text = longest(tokens) if self._conditions.mask_padding else text_tokens(self._pipe)
        return encode(self._pipe, prompts, n_text) if kept is None else of_length(kept, n_text)

    def _look(
        self, prompts: list[str], tokens: list[Tokens], embeds: torch.Tensor, noise: Noise, sigma: float, first: int
    ) -> list[Recorded]:
        """Send a batch of sides through the transformer, each at its pair's latents."""
        rows = range(first, min(first + self.batch, len(prompts)))
        own, n_text = [tokens[i] for i in rows], embeds.shape[1]
        attended = without_padding(own, n_text, self._n_image) if self._conditions.mask_padding else None
        texts = [first_segments(t.segments, n_text) for t in own]
        at = replace(noise.of([i // len(SIDES) for i in rows]), text_ids=text_places(self._pipe, embeds[list(rows)]))
        with recording(self._pipe.transformer, texts, self._n_image, 0, "heads") as recorder:
            velocity(self._pipe, embeds[list(rows)], at, 1000 * sigma, attended=attended)
        return recorder.collect(self._layout, [prompts[i] for i in rows])

    def _run(
        self, prompts: list[str], tokens: list[Tokens], kept: list[torch.Tensor] | None, reference: Reference | None
    ) -> list[_Measures]:
        """Return every prompt's repeated measures."""
        c, embeds = self._conditions, self._embeds(prompts, tokens, kept)
        n_text = embeds.shape[1]
        texts, n_reference = (
            [first_segments(t.segments, n_text) for t in tokens],
            reference.n_tokens if reference else 0,
        )
        attended = without_padding(tokens, n_text, self._n_image + n_reference) if c.mask_padding else None
        measures, first = [], None
        with recording(self._pipe.transformer, texts, self._n_image, n_reference, self._directions) as recorder:
            for seed in c.seeds:
                for step in denoise(self._pipe, embeds, c.size, seed, c.steps, reference, attended):
                    measures.append(recorder.collect(self._layout, prompts, rounded=c.n_repeats == 1))
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
            streams = {stream: np.stack([own.squares[stream] for own in measure])[:, None] for stream in STREAM_SCOPES}
            sums = SumsOfSquares(streams, counts)  # counts: (2, 1, n_scopes)
            # Nothing looks at masked padding, so it is left out: what makes prompts equally long is not recorded.
            repeats.append(sums.without("padding") if self._conditions.mask_padding else sums)
        return PairCapture.of(repeats, *compare_tokens(*tokens), self._means(sides, counts, scopes))

    def _means(self, sides: list[_Measures], counts: np.ndarray, scopes: tuple[str, ...]) -> Means | None:
        """Average the mean vectors of a pair's two sides over their measures; None where none are kept."""
        if self._directions == "off":
            return None
        rows = {  # of what the hooks recorded
            part: [recorded_scopes(PARTS[part], scopes).index(s) for s in scopes_of(self._directions, part, scopes)]
            for part in parts_of(self._directions)
        }
        measures = [
            {part: np.stack([own.means[part][kept] for own in measure])[:, None] for part, kept in rows.items()}
            for measure in zip(*sides, strict=True)
        ]
        means = Means.average(measures, counts)
        return means.without("padding") if self._conditions.mask_padding else means


def _at_image(times: list[list[Recorded]]) -> dict[str, np.ndarray]:
    """Return a pair's mean vectors over image tokens, of its sides time by time, as `Means.later` has them."""
    rows = {part: recorded_scopes(PARTS[part], PLAIN_SCOPES).index("image") for part in LATER}
    kept = {
        part: np.array([[side.means[part][row] for side in sides] for sides in times]) for part, row in rows.items()
    }
    return {part: values[:, :, None].astype(np.float16) for part, values in kept.items()}


_Measures = list[Recorded]
"""Of one prompt: a measure a seed and step."""


def longest(tokens: list[Tokens]) -> int:
    """Return how many tokens the longest of some prompts has, without its padding."""
    return max(len(t.ids) - t.count("padding") for t in tokens)


def first_segments(segments: tuple[Segment, ...], n_tokens: int) -> tuple[Segment, ...]:
    """Return the segments of the first tokens."""
    return tuple(Segment(s.scope, s.start, min(s.stop, n_tokens)) for s in segments if s.start < n_tokens)


def of_length(embeds: list[torch.Tensor], n_tokens: int) -> torch.Tensor:
    """Stack embeddings (n, n_text_channels), cut off or filled up with zeros, which are masked, to some tokens."""
    out = embeds[0].new_zeros((len(embeds), n_tokens, embeds[0].shape[-1]))
    for row, own in zip(out, embeds, strict=True):
        row[: len(own)] = own[:n_tokens]
    return out


def without_padding(tokens: list[Tokens], n_text: int, n_pictures: int) -> torch.Tensor | None:
    """Return which tokens attention may look at, bool (n_prompts, n_tokens); None where it may look at all."""
    attended = torch.ones((len(tokens), n_text + n_pictures), dtype=torch.bool)
    for row, own in zip(attended, tokens, strict=True):
        row[len(own.ids) - own.count("padding") : n_text] = False  # padding ends the text
    return None if attended.all() else attended
