"""Model bundles: what a trained model is, where its files are, and how a name is found."""

from srgan.models.bundle import Bundle, Part, write_bundle
from srgan.models.catalogue import find_model, list_models
from srgan.models.info import LatentInfo, ModelInfo, Provenance, Quality

__all__ = [
    "Bundle",
    "LatentInfo",
    "ModelInfo",
    "Part",
    "Provenance",
    "Quality",
    "find_model",
    "list_models",
    "write_bundle",
]
