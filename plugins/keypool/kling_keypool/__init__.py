"""Pool of API keys: a submit uses the least busy key, and a refused key pauses while the others serve."""

from kling_keypool.environment import KEYS, KEYS_FILE
from kling_keypool.pool import Keypool

__all__ = ["KEYS", "KEYS_FILE", "Keypool"]
