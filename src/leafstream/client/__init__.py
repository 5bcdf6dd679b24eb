"""Clients of a leafstream server: events and growing values, resumed by themselves."""

from leafstream.client.blocking import SyncClient, ask
from leafstream.client.connection import Client
from leafstream.client.partial import Partial
from leafstream.client.typed import Typed

__all__ = ["Client", "Partial", "SyncClient", "Typed", "ask"]
