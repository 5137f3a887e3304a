"""Which cache is on and how it is used: a subcommand for every kind of store, and the switches."""

from __future__ import annotations

import inspect
import re
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .. import stores
from ..draw.table import Table
from ..errors import LLMCacheError
from ..modes import MODES
from ..text import parse_count, parse_duration_s, parse_size_bytes
from . import subcommand
from .parser import Argument

if TYPE_CHECKING:
    from . import Session
    from .answer import CacheStatus

#: How a flag is read and named, by the ending of the parameter's name: names tell units.
_UNITS: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "_s": (parse_duration_s, "DURATION", ", as 12h or 7d"),
    "_bytes": (parse_size_bytes, "SIZE", ", as 200MB or 1GB"),
    "_entries": (parse_count, "N", ""),
}
_ARGS = re.compile(r"^Args:\n((?: .*\n)+)", re.MULTILINE)
_DESCRIBED = re.compile(r"^ {4}(\w+): ([^.]*)", re.MULTILINE)


def store_arguments(store_class: type) -> Iterator[Argument]:
    """Yield what ``%llm_cache NAME`` takes, as the class's ``__init__`` and docstring say it."""
    args = _ARGS.search(f"{inspect.getdoc(store_class)}\n")
    described = dict(_DESCRIBED.findall(args[1])) if args else {}
    place = location_of(store_class)
    for name, parameter in inspect.signature(store_class).parameters.items():
        if name.startswith("_"):
            continue
        told = " ".join(described.get(name, "").replace("``", "").split())
        told = told.replace(", in seconds", "")
        told, kind = told[:1].lower() + told[1:], str(parameter.annotation)
        unit = next((ending for ending in _UNITS if name.endswith(ending)), "")
        flag = "--" + name.removesuffix(unit if unit != "_entries" else "").replace("_", "-")
        if name == place:
            offered = "path" if name == "path" else "address"
            yield Argument((name,), told, name.upper(), offered, options={"nargs": "?"})
        elif kind in ("bool", "<class 'bool'>"):
            yield Argument((flag,), told)
        elif unit and "None" in kind:
            read, metavar, example = _UNITS[unit]
            yield Argument((flag,), told + example, metavar, options={"type": read, "dest": name})
        elif kind.startswith("str"):
            yield Argument((flag,), told, name.upper(), options={"dest": name})
    yield Argument(
        ("--record-web",),
        "keep what else is fetched by HTTP: raw SDKs, search tools, pages, images",
    )
    if place is None:
        yield Argument(("--new",), "begin anew; without it the cache keeps what it holds")


def location_of(store_class: type) -> str | None:
    """Return the name of the parameter that says where the store is; None for a store in memory."""
    first = next(iter(inspect.signature(store_class).parameters), None)
    return first if first in ("path", "url", "location") else None


def _register_store(name: str, store_class: type) -> None:
    place = location_of(store_class)

    def use(session: Session, args: Namespace) -> CacheStatus:
        given = {n: value for n, value in vars(args).items() if value not in (None, False)}
        record_web = given.pop("record_web", False)
        if place is None:
            kept = None if given.pop("new", False) else session.kept.get(name)
            if kept is None or given:  # what was held moves into a store of other bounds
                store = store_class(**given)
                store.put_many(list(kept.entries()) if kept else [])
                session.kept[name] = kept = store
            return session.use_store(kept, record_web=record_web)
        traits = session.settings.traits()
        setting = next((t for t in (f"{name}_path", f"{name}_url") if t in traits), None)
        where = given.pop(place, None) or (setting and getattr(session.settings, setting))
        store = store_class(*([where] if where else []), **given)
        return session.use_store(store, record_web=record_web)

    text = (inspect.getdoc(store_class) or name).split("\n", 1)[0].rstrip(".")
    text = text[:1].lower() + text[1:]
    subcommand(name, text, *store_arguments(store_class), on="session")(use)


def _register_broken(name: str, fault: LLMCacheError) -> None:
    """Let ``%llm_cache NAME`` tell why there is no such store; everything else works."""

    def use(_: Session, __: Namespace) -> CacheStatus:
        raise LLMCacheError(fault.what, "Mend or uninstall the package that brings it")

    where = Argument(("location",), "not asked for", options={"nargs": "*"})
    subcommand(name, "a store that cannot be imported", where, on="session")(use)


for _name in stores.names():
    try:
        _register_store(_name, stores.find(_name))
    except LLMCacheError as _fault:
        _register_broken(_name, _fault)


subcommand(
    "use",
    "any LangChain cache object, observed",
    Argument(("expression",), "a Python expression whose value is a BaseCache", "EXPR", "variable"),
    on="session",
    expression=True,
)(lambda session, args: session.use_cache(args.value))

subcommand("off", "back to the cache that was there before", on="session")(
    lambda session, _: session.off()
)


@subcommand(
    "mode",
    "how calls use the cache",
    Argument(
        ("mode",),
        "auto: read, else ask and store; replay: only read; refresh: ask and overwrite; "
        "bypass: neither read nor write",
        choices=MODES,
    ),
    Argument(("--allow-web",), "in replay: what asks no model may leave, after the file was asked"),
    on="session",
)
def mode(session: Session, args: Namespace) -> CacheStatus:
    """Set the mode of every call that no block and no flag decides."""
    if args.allow_web and args.mode != "replay":
        raise LLMCacheError("--allow-web goes with mode replay alone", "Leave it out")
    return session.set_mode(args.mode, allow_web=args.allow_web)


@subcommand(
    "models", "what -m can name here, and which of it has a key", on="session", place="notebook"
)
def models(session: Session, _: Namespace) -> Table:
    """Return what ``-m`` can name."""
    from .models import nameable

    variables = getattr(session.settings.parent, "user_ns", {})
    # What is ready stands first, then what lacks a key alone.
    rows = sorted(
        nameable(variables, session.settings),
        key=lambda row: ("ready", "set", "%pip").index(row[2].split()[0]),
    )
    ready = sum(row[2] == "ready" for row in rows)
    return Table(("model", "what", "state"), rows, f"{ready} of {len(rows)} are ready for -m")


@subcommand(
    "annotate",
    "the line under ordinary cells",
    Argument(("annotate",), "on or off", choices=("on", "off")),
    on="session",
)
def annotate(session: Session, args: Namespace) -> None:
    """Switch the line under ordinary cells."""
    session.settings.annotate = args.annotate == "on"
