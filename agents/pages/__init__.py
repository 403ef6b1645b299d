"""The pages of the gateway: host.html (prompts, for the host alone) and overlay.html (offer progress, for the picture)."""
