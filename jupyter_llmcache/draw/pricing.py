"""What calls cost, where the ``prices`` extra (genai-prices) is installed.

The package is imported when a price is asked for, and not before: it takes a third of a second.
Prices are those that came with it; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Protocol

from ..providers import PROVIDERS

#: Of LangChain's input token details: what is billed at another price.
_DETAILS = {"cache_read": "cache_read_tokens", "cache_creation": "cache_write_tokens"}


class Priced(Protocol):
    """What a price needs of a call; ``ledger.Call`` has it."""

    @property
    def model(self) -> str:
        """``provider:name``."""

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """LangChain's ``usage_metadata``."""


def is_available() -> bool:
    """Whether the ``prices`` extra is installed."""
    return find_spec("genai_prices") is not None


def price_usd(call: Priced) -> Decimal | None:
    """Return what the tokens of ``call`` cost at the provider, in US dollars.

    Of a hit this is what it saved. None where the model or its tokens are unknown, or the extra is
    not installed.
    """
    provider, _, name = call.model.partition(":")
    tokens = _tokens(call.usage)
    if not tokens or not name or not is_available():
        return None
    return _price_usd(price_name(provider), name, tokens)


def total_usd(calls: Iterable[Priced]) -> Decimal | None:
    """Return the sum over ``calls``; None where no price is known."""
    prices = [price for call in calls if (price := price_usd(call)) is not None]
    return sum(prices, Decimal(0)) if prices else None


def format_usd(amount: Decimal | None) -> str:
    """Return money as it is told everywhere: ``$12.30``, ``$0.0004``, ``< $0.0001``.

    Empty where there is no amount.
    """
    if amount is None:
        return ""
    if not amount or amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= Decimal("0.0001") else "< $0.0001"


def price_name(provider: str) -> str:
    """Return what genai-prices calls ``provider``."""
    row = PROVIDERS.get(provider)
    return (row and row.price_name) or provider


def _tokens(usage: Mapping[str, Any] | None) -> tuple[tuple[str, int], ...]:
    if not usage:
        return ()
    counts = {name: usage.get(name) for name in ("input_tokens", "output_tokens")}
    details = usage.get("input_token_details") or {}
    counts |= {ours: details.get(theirs) for theirs, ours in _DETAILS.items()}
    return tuple(
        (name, count) for name, count in counts.items() if isinstance(count, int) and count
    )


@lru_cache(maxsize=4096)
def _price_usd(provider: str, name: str, tokens: tuple[tuple[str, int], ...]) -> Decimal | None:
    from genai_prices import Usage, calc_price

    try:
        return Decimal(calc_price(Usage(**dict(tokens)), name, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None
