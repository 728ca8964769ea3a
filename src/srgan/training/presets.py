"""Training files to begin with, by name: what they change of the defaults. Importing this loads no torch."""

from __future__ import annotations

from typing import Any

from srgan.config import to_toml
from srgan.errors import InvalidConfig
from srgan.training.config import TrainConfig

REAL_ESRGAN: dict[str, Any] = {
    "kind": "second-order",
    "sharpen": 0.5,
    "photons": "levels",
    "resizers": {"antialias": 0.0},
    "shuffle": 0.0,
    "full_colour": 0.0,
    "webp": 0.0,
    "avif": 0.0,
}
"""`data.degradation` as Real-ESRGAN has it: all that this leaves as it is, the defaults have in common with it."""

PRESETS: dict[str, dict[str, Any]] = {
    # configs/pretrain.toml
    "basic": {
        "recipe": "pretrain",
        "steps": 20_000,
        "network": {"name": "fast", "scale": 4},
        "data": {"folders": ["photos"], "min_detail": 8.0},
        "loss": {"mse_after": 0.9},
        "optimiser": {"kind": "muon"},
        "validation": {"folder": "judge"},
        "output": {"name": "basic-x4"},
    },
    # for a first try: the smallest network, from the weights that srgan ships
    "fast": {
        "recipe": "pretrain",
        "steps": 2000,
        "network": {"name": "turbo", "scale": 4, "init_from": "turbo-x4"},
        "data": {"folders": ["photos"], "patch": 48, "batch": 8, "min_detail": 8.0, "memory_gib": 1.0},
        "loss": {"mse_after": 0.5},
        "optimiser": {"kind": "muon", "learning_rate": 3e-4, "muon_learning_rate": 2e-3},
        "validation": {"folder": "judge", "every": 500},
        "output": {"name": "quick-x4"},
    },
    # for a GPU: configs/quality-x4.toml, but for what it says of its authors' pictures
    "high-quality": {
        "recipe": "pretrain",
        "steps": 50_000,
        "seed": 4,
        "network": {"name": "quality", "scale": 4},
        "data": {"folders": ["photos"], "patch": 64, "batch": 64, "min_detail": 8.0},
        "loss": {"mse_after": 0.85},
        "optimiser": {"kind": "muon", "learning_rate": 5e-4, "warmup": 500},
        "validation": {"folder": "judge", "every": 2000},
        "hardware": {"device": "cuda", "precision": "bf16", "compile": True},
        "output": {"name": "high-quality-x4", "checkpoint_every": 2000},
    },
    # pictures that have been through the web: second-order degradation, a quarter of the patches clean
    "advanced": {
        "recipe": "pretrain",
        "steps": 20_000,
        "network": {"name": "fast", "scale": 4, "init_from": "fast-x4"},
        "data": {
            "folders": ["photos"],
            "min_detail": 8.0,
            "degradation": {"kind": "second-order", "clean": 0.25},
        },
        "optimiser": {"kind": "adan", "learning_rate": 1e-3, "schedule": "restarts", "periods": (0.25, 0.25, 0.5)}
        | {"restart_weights": (1.0, 0.5, 0.5)},
        "validation": {"folder": "judge", "figures": ["lpips-unweighted"]},
        "output": {"name": "advanced-x4"},
    },
    # configs/my-photos.toml, which gives the reasons
    "fast-gan": {
        "recipe": "adversarial",
        "steps": 600,
        "network": {"name": "fast", "scale": 4, "init_from": "fast-x4"},
        "data": {"folders": ["photos"], "batch": 8, "min_detail": 8.0, "memory_gib": 1.0},
        "loss": {"perceptual": 0.5, "adversarial": 0.1},
        "discriminator": {"name": "patch", "options": {"width": 16}, "learning_rate": 2e-4, "head_start": 50},
        "updates": {"generator": 2, "discriminator": 1},
        "optimiser": {"learning_rate": 2e-4, "warmup": 50, "flat": 0.5, "ema": 0.99},
        "validation": {"folder": "judge", "every": 200, "figures": ["lpips-unweighted"], "best": "lpips-unweighted"},
        "output": {"name": "my-photos"},
    },
    # configs/photo-gpu-x4.toml, but for what it says of its authors' pictures
    "gan": {
        "recipe": "adversarial",
        "steps": 100_000,
        "seed": 12,
        "network": {"name": "quality", "scale": 4, "init_from": "runs/quality-x4/001/bundle"},
        "data": {"folders": ["photos"], "patch": 64, "batch": 32, "min_detail": 8.0},
        "loss": {"perceptual": 1.0, "adversarial": 0.1, "artefact": 20.0},
        "discriminator": {"name": "unet", "options": {"width": 64}, "learning_rate": 1e-4, "head_start": 500},
        "optimiser": {"learning_rate": 1e-4, "warmup": 500, "flat": 0.5},
        "validation": {"folder": "judge", "every": 2000, "figures": ["lpips-unweighted"], "best": "lpips-unweighted"},
        "hardware": {"device": "cuda", "precision": "bf16"},
        "output": {"name": "photo-gpu-x4", "checkpoint_every": 2000},
    },
    # Real-ESRNet, the first stage of Real-ESRGAN (Wang et al. 2021), with the pictures as they wear them out
    "real-esrnet": {
        "recipe": "pretrain",
        "steps": 1_000_000,
        "network": {"name": "quality", "scale": 4},
        "data": {"folders": ["photos"], "patch": 64, "batch": 48, "degradation": REAL_ESRGAN},
        "loss": {"pixel": "l1"},
        "optimiser": {"learning_rate": 2e-4, "betas": (0.9, 0.99), "warmup": 0, "ema": 0.999, "schedule": "steps"}
        | {"milestones": (), "clip": 1e6},
        "validation": {"folder": "judge", "every": 5000, "figures": ["lpips-unweighted"]},
        "hardware": {"device": "cuda", "precision": "bf16"},
        "output": {"name": "real-esrnet-x4", "checkpoint_every": 5000},
    },
}


def preset(name: str) -> str:
    """The training file ``name``: TOML with every key and what it means. Raises `InvalidConfig` for an unknown name."""
    if name not in PRESETS:
        raise InvalidConfig(f"There is no preset {name!r}. Choose one of: {', '.join(PRESETS)}")
    return to_toml(TrainConfig.model_validate(PRESETS[name]), comments=True)
