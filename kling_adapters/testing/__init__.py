"""Tools for the tests of applications and plugins, without account, network, waiting time or test framework.

`FakeGateway` and `SimulatedClock` run a client on this machine within milliseconds, and `EventRecorder`
records the events of its jobs. A conformance suite checks what every plugin of a kind must do: inherit a test
class from it, define how to reach the plugin, and pytest or unittest runs its checks. `kling-sandbox` is a
larger gateway: it validates parameters, charges credits and renders real media.
"""

from kling_adapters.testing.auth import AuthConformance, KeyPoolConformance
from kling_adapters.testing.clock import SimulatedClock
from kling_adapters.testing.engine import EngineConformance
from kling_adapters.testing.gateway import MP4, PNG, FakeGateway, GatewayRequest
from kling_adapters.testing.notifier import EventRecorder, NotifierConformance
from kling_adapters.testing.server import GatewayAnswer
from kling_adapters.testing.storage import StorageConformance

__all__ = [
    "MP4",
    "PNG",
    "AuthConformance",
    "EngineConformance",
    "EventRecorder",
    "FakeGateway",
    "GatewayAnswer",
    "GatewayRequest",
    "KeyPoolConformance",
    "NotifierConformance",
    "SimulatedClock",
    "StorageConformance",
]
