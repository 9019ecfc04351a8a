"""Running services: `proxy/`, `relay/` and `gate/`, which don't import each other, and beside them what they share."""
