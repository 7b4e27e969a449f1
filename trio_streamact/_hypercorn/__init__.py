"""Prepares quart-trio and hypercorn for long streams. Only this folder uses their private parts.

Each module names the faults that it repairs. A patch applies only to tested releases, and only if the attributes that
it needs exist. Otherwise it reports this once, and changes nothing.
"""

from .disconnects import is_disconnect
from .exchange import Exchange, exchange_of
from .middleware import ServingMiddleware
from .scheduler import Deadline, Scheduler

__all__ = ["Deadline", "Exchange", "Scheduler", "ServingMiddleware", "exchange_of", "is_disconnect"]
