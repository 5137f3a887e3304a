"""What Anthropic's and Ollama's classes send is what their keys tell."""

import pytest

from tests.integration.wire import judged
from tests.integration.wire.subjects import SUBJECTS

pytestmark = pytest.mark.filterwarnings("ignore")  # what the classes say of odd values


@pytest.mark.parametrize(
    "subject",
    [*SUBJECTS["langchain-anthropic"], *SUBJECTS["langchain-ollama"]],
    ids=lambda each: each.name,
)
def test_another_wire_is_another_key(subject):
    """Whatever differs on the wire differs in the key; what counts without need has a reason."""
    judged.judge(subject)
