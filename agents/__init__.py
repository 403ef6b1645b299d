"""The shell: carries bytes between Kafka, Redis, Prometheus, browsers and the core, and decides nothing.

worker     app (Faust) · transport, fetched, layout (records in) · rooms, shares, ticks, partition
           published, outbox (words out) · store (Redis) · telemetry · heap
gateway    gateway · access · intake, eventlog (into Kafka) · feed, entries (out of Redis) · catalogues · pages/
commands   cli · demo, simulate · replay, batches (into Kafka) · dry_run · recaps, export · verify · glossary
servers    embedded (of the wheels) · topics, idempotence (of Kafka)
settings   everything from the environment
"""
