"""The shell: carries bytes between Kafka, Redis, Prometheus, browsers and the core, and decides nothing.

settings  everything from the environment     transport  a Faust transport that joins the records of a fetch
app       the worker: its place in the group   rooms      feeds the rooms, saves and publishes them
store     Redis: keys, scripts, positions      telemetry  /metrics of the worker
gateway   HTTP in, pages and SSE out           pages/     host screen and overlay
embedded  a broker and a Redis of our own      simulate   a seeded show
replay    recorded files into Kafka            dry_run    recorded files through the core alone
export    recap files                          cli        the `liveroom` command
partition what a worker holds of a partition   outbox     what rooms say, on its way to Redis and Kafka
verify    a room recomputed from the log
"""
