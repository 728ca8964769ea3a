"""Model bundles: what a trained model is, where its files are, and how a name is found."""

from srgan.models.bundle import Bundle, write_bundle
from srgan.models.catalogue import find_model, list_models
from srgan.models.info import ModelInfo, Provenance, Quality

__all__ = ["Bundle", "ModelInfo", "Provenance", "Quality", "find_model", "list_models", "write_bundle"]
