"""Pillar 4: models added, approved, tested, loaded only when cleared, and asked for reasons."""
