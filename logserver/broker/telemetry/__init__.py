"""Client telemetry (KIP-714): what clients measure of themselves, pushed to the broker.

Promises that nothing is asked of a client until a subscription (a CLIENT_METRICS resource) concerns
it, and that whatever is pushed costs bounded time and memory.
Must never know who reads the figures: they are a table that the server publishes.
"""
