"""For the tests of applications and plugins: no account, no network, no waiting, and no test framework of its own.

`FakeGateway` and `SimulatedClock` run a client on this machine in milliseconds, `EventRecorder` keeps what plugins are
told. The suites hold what every plugin of a kind must do: a class of your tests inherits one, says how to reach the
plugin, and whatever collects `test_` methods (pytest, unittest) runs them. `kling-sandbox` is the larger sibling of the
gateway: it validates parameters, charges credits and renders real media.
"""

from kling_adapters.testing.auth import AuthConformance, KeyPoolConformance
from kling_adapters.testing.clock import SimulatedClock
from kling_adapters.testing.gateway import MP4, PNG, FakeGateway, GatewayAnswer, GatewayRequest
from kling_adapters.testing.notifier import EventRecorder, NotifierConformance
from kling_adapters.testing.storage import StorageConformance

__all__ = [
    "MP4",
    "PNG",
    "AuthConformance",
    "EventRecorder",
    "FakeGateway",
    "GatewayAnswer",
    "GatewayRequest",
    "KeyPoolConformance",
    "NotifierConformance",
    "SimulatedClock",
    "StorageConformance",
]
