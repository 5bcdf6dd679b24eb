"""The log of answers: every event, numbered, durable before anybody sees it.

`log.py` is what the house uses; `storage.py` is what keeps it, in memory, SQLite or Redis.
"""

from leafstream.log.commits import Claim
from leafstream.log.log import Log
from leafstream.log.records import Batch, Entry, Opening, merged
from leafstream.log.watched import WatchedLog

__all__ = ["Batch", "Claim", "Entry", "Log", "Opening", "WatchedLog", "merged"]
