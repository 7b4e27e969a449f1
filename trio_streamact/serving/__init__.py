"""What must stand around a long stream on quart-trio and hypercorn: the one place that knows their insides.

One file a repair. Each names the fault, touches only versions and attributes that it knows, and where it cannot do its
work says so once and lets things be as they were.
"""

from .contexts import Contexts, hold_contexts
from .disconnects import is_disconnect
from .exchange import Exchange, exchange_of
from .guard import ServingGuard
from .heart import Heart, Look

__all__ = ["Contexts", "Exchange", "Heart", "Look", "ServingGuard", "exchange_of", "hold_contexts", "is_disconnect"]
