"""Telling whoever started this process how it is: sd_notify(3), the protocol of systemd.

`leafstream up` speaks it too, so there is one way to say ready.
"""

from __future__ import annotations

import os
import socket


def notify(*assignments: str) -> None:
    """Send e.g. "READY=1" to $NOTIFY_SOCKET; nothing where there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace of Linux
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto("\n".join(assignments).encode(), address)
        except OSError:
            # Who started it is gone; that is no reason for a server to stop.
            return
