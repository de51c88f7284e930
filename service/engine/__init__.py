"""The engine: worker processes that decode, and the client through which the service process reaches them."""
