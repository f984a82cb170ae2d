"""The interfaces of other clients, over the calls of this one. The core imports none of them."""
