"""Which versions recorded an answer; kept with the entry for ``show`` and ``explain``."""

from __future__ import annotations

from functools import cache
from importlib import metadata

_OWN_DISTRIBUTIONS = ("jupyter_llmcache", "langchain-core")


@cache
def recording_versions(package: str | None) -> dict[str, str]:
    """Return distribution names and versions of what records now.

    Args:
        package: The top-level package of the model's class, as ``langchain_openai``; None where no
            model was seen.
    """
    names = list(_OWN_DISTRIBUTIONS)
    if package and package not in names:
        names.append(package.replace("_", "-"))
    return {name: version for name in names if (version := _version(name)) is not None}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
