"""The verdict on one class, for the tests."""

from tests.integration.wire.harness import Subject, WireServer, reason_for, sweep

#: Needless misses of these kinds are for packages that nobody has read; here each is named.
_TOO_WIDE = frozenset({"field *", "call *"})


def judge(subject: Subject) -> None:
    """Fail where the wire of ``subject`` says what its key does not."""
    server = WireServer()
    try:
        report = sweep(subject, server)
    finally:
        server.close()
    assert report.pairs > 100
    assert report.collisions == []
    assert report.refused == set()
    assert [what for what in report.needless if reason_for(what, _TOO_WIDE) is None] == []
