"""A systemd unit for this installation (systemd.exec(5), systemd.service(5))."""

from __future__ import annotations

import getpass
import os
import re
import sys
from pathlib import Path

UNIT = """\
# leafstream, written by `leafstream unit`. Put it at /etc/systemd/system/leafstream.service, then:
#   systemctl daemon-reload && systemctl enable --now leafstream
[Unit]
Description=leafstream: typed answers over SSE
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={command}
# Settings and secrets, one LEAFSTREAM_NAME=value a line; `leafstream settings` lists them.
EnvironmentFile=-/etc/leafstream.env
Environment=LEAFSTREAM_LOG_FORMAT=json
Environment=LEAFSTREAM_CACHE_FOLDER=%C/leafstream/models
Environment=LEAFSTREAM_DATABASE_URL=sqlite:///%S/leafstream/leafstream.db
WorkingDirectory=%S/leafstream
StateDirectory=leafstream
CacheDirectory=leafstream
{user}
# A first start fetches a model.
TimeoutStartSec=1h
# Open streams get their last event on SIGTERM.
TimeoutStopSec={stop:g}s
Restart=on-failure
RestartSec=2s
# What a set-up error says will not mend itself.
RestartPreventExitStatus=2
LimitNOFILE=65536
UMask=0077

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Needed by threads' priorities and affinities, which @resources would forbid.
SystemCallFilter=sched_setaffinity sched_setscheduler setpriority
{devices}
[Install]
WantedBy=multi-user.target
"""
NO_GPU = "PrivateDevices=yes\n"
GPU = "# This machine has a GPU, whose devices PrivateDevices=yes would hide.\nDevicePolicy=auto\n"
AT_HOME = """\
# A user made for the service could not read {file}, which lies in a home.
User={user}"""
HOMES = ("/home", "/root", "/run/user")


def text(source: str | None, config: Path | None, stop_seconds: float) -> str:
    """The unit that serves `source` (a bundled app's name or a file) with this Python."""
    parts = [sys.executable, "-m", "leafstream", "serve"]
    files = [Path(sys.prefix), *(path for path in (_file(source), config) if path)]
    if source is not None:
        parts.append(str(_file(source) or Path(source)))
    if config is not None:
        parts += ["--config", str(config.resolve())]
    homes = [file for file in files if str(file.resolve()).startswith(HOMES)]
    return UNIT.format(
        command=" ".join(map(_quoted, parts)),
        user=AT_HOME.format(file=homes[0], user=getpass.getuser()) if homes else "DynamicUser=yes",
        home="read-only" if homes else "yes",
        stop=stop_seconds,
        devices=GPU if _has_gpu() else NO_GPU,
    )


def _file(source: str | None) -> Path | None:
    path = Path(source) if source else None
    return path.resolve() if path is not None and path.is_file() else None


def _quoted(part: str) -> str:
    """A word of ExecStart= (systemd.service(5), "Command lines")."""
    escaped = part.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@:+./%=-]+", escaped, re.ASCII):
        return escaped
    inner = escaped.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _has_gpu() -> bool:
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/kfd", "/dev/dri"))
