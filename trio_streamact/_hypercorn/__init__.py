"""What must stand around a long stream on quart-trio and hypercorn: the one place that knows their insides.

One file a repair. Each names the fault, touches only versions and attributes that it knows, and where it cannot do its
work says so once and lets things be as they were.
"""

from .disconnects import is_disconnect
from .exchange import Exchange, exchange_of
from .middleware import ServingGuard
from .scheduler import Deadline, Scheduler

__all__ = ["Deadline", "Exchange", "Scheduler", "ServingGuard", "exchange_of", "is_disconnect"]
