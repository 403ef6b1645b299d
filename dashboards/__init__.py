"""What producers and engineers on call look at: Grafana dashboards and Prometheus rules.

build        the producer's dashboard, made in code; `python -m dashboards.build` writes its file
publish      sends a dashboard and annotations to a Grafana by its HTTP API
grafana/     the file built, and what Grafana provisions itself from
prometheus/  what is scraped, what is recorded, when somebody is woken
"""
