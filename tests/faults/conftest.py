"""What several tests of faults look at."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What of responses is written at once, write by write."""
    pieces: list[bytes] = []
    write = os.write

    def note(fd: int, piece: bytes) -> int:
        if piece.startswith((b"HTTP/1.1", b"0\r\n")) or b"data: " in piece:
            pieces.append(piece)
        return write(fd, piece)

    monkeypatch.setattr(os, "write", note)
    return pieces
