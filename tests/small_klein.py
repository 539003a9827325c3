"""A small Klein that stands where the Hub's FLUX.2-klein-base-4B is looked for, so that its weights read as pretrained.

It is the stand-in without its mark: a whole diffusers folder (VAE included) of tiny width with random weights. Nothing
about Klein's own weights follows from it; it is for rehearsing what a Space does with them.

In a hub cache, without any network::

    cache_small_klein(home)  # then start the app with HF_HOME=home and HF_HUB_OFFLINE=1

On a hub on loopback, from which the app downloads it::

    with loopback_hub() as hub:
        serve_small_klein(hub, folder)  # then start the app with HF_ENDPOINT=hub.url, HF_HUB_OFFLINE=0,
                                        # HF_HUB_DISABLE_XET=1 and HF_HOME=an empty folder

`small_klein_environment` returns these variables. On the emulated ZeroGPU the app loads it where `PLANTAIN_MODEL` is
unset or empty (`scheduler.emulated(folder, model="", **environment)`); elsewhere set `PLANTAIN_MODEL` to `KLEIN`.
"""

from pathlib import Path

from loopback_hub import LoopbackHub

from plantain.models.load import KLEIN
from plantain.models.stand_in import WEIGHTS_MARK, build_stand_in

COMMIT = "5ca1ab1e" * 5

SINGLE_FILE = "flux-2-klein-base-4b.safetensors"  # the same weights once more, for other software: never fetched


def write_small_klein(folder: Path, seed: int = 7) -> Path:
    """Save the pipeline as diffusers does; another seed gives other weights."""
    pipe = build_stand_in(seed)
    delattr(pipe.text_encoder.config, WEIGHTS_MARK)
    pipe.save_pretrained(folder)
    return folder


def cache_small_klein(home: Path) -> Path:
    """Write it into the hub cache of a folder that is given as `HF_HOME`, as if it had been downloaded."""
    kept = home / "hub" / f"models--{KLEIN.replace('/', '--')}"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return write_small_klein(kept / "snapshots" / COMMIT)


def serve_small_klein(hub: LoopbackHub, folder: Path) -> str:
    """Put it on a hub on loopback under Klein's name, written by way of an empty folder; return its commit."""
    write_small_klein(folder)
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return hub.add(KLEIN, {**files, SINGLE_FILE: b"no need to read this"}).refs["main"]


def small_klein_environment(home: Path, hub: LoopbackHub | None = None) -> dict[str, str]:
    """Return what the app's process needs to find it: in the cache of `home`, or on a hub on loopback."""
    if hub is None:
        return {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return {"HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": hub.url}
