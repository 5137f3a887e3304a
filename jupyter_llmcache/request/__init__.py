"""The canonical, versioned key of a request, read from the live model at call time.

Two requests share a key exactly when the provider would see the same. What a provider is not sent,
or what cannot change its answer, is left out by name; what cannot be described is refused.
"""

from ..errors import NotDescribableError
from .key import (
    KEY_BYTES,
    KEY_SCHEMA,
    Request,
    describe,
    describe_strings,
    endpoints_like,
)
from .model import is_known, model_label

__all__ = [
    "KEY_BYTES",
    "KEY_SCHEMA",
    "NotDescribableError",
    "Request",
    "describe",
    "describe_strings",
    "endpoints_like",
    "is_known",
    "model_label",
]
