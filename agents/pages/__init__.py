"""The pages of the gateway: host.html (prompts, for the host alone), overlay.html (offers, for the picture)."""
